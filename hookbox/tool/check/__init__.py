"""`hookbox check`: asks a running web application each webhook, legal and illegal, and says what is wrong."""
