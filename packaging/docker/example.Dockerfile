# The example chat of examples/chat, as the application of compose.yml: its Python needs nothing but Bottle.
FROM python:3.13-slim
RUN pip install --no-cache-dir --disable-pip-version-check 'bottle>=0.13,<0.14' \
 && useradd --system --uid 10002 --user-group --no-create-home --home-dir /var/lib/chat chat \
 && install -d -o chat -g chat -m 0700 /var/lib/chat
COPY examples/chat /opt/chat
ENV CHAT_INTERFACE=0.0.0.0 \
    CHAT_PORT=8000 \
    CHAT_DATABASE=/var/lib/chat/chat.sqlite3
USER 10002:10002
WORKDIR /var/lib/chat
VOLUME /var/lib/chat
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "/opt/chat/app.py"]
