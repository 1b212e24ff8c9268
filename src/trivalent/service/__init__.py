"""The REST service: texts answered at once, recordings as jobs, everything of its owner only.

`app.create_app` puts it together; `server.serve` runs it.
"""
