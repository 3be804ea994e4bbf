"""A Content-Security-Policy as strict as one can be, under which the listeners' pages have to work."""

POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'"


def strict_policy(get_response):
    def answer(request):
        response = get_response(request)
        if request.path.startswith("/durian/"):
            response["Content-Security-Policy"] = POLICY
        return response

    return answer
