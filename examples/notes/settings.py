"""What the application is, whichever provider it is used with; the environment adds the rest."""

DIFY_OAUTH_APP_NAME = "Notes"

# Bytes of a request: a note is short, and nobody shall fill the memory.
MAX_CONTENT_LENGTH = 100_000

# The scopes of the API are asked for too: the front end uses it on the person's behalf.
DIFY_OAUTH_SCOPES = ["openid", "profile", "email", "notes:read", "notes:write"]

# Who may sign in: accounts of the company, with an address that the provider has checked.
DIFY_OAUTH_ALLOWED_EMAIL_DOMAINS = ["example.com"]
DIFY_OAUTH_DENIED = ["group:/contractors"]

# What they are here. Left: the application's roles. Right: what the provider tells.
DIFY_OAUTH_ROLES = {
    "editor": ["role:notes-editor", "group:/editors"],
    "admin": ["role:notes-admin"],
}

# The name of the API, which access tokens must be made for.
DIFY_OAUTH_API_AUDIENCE = "notes-api"

# Everything is closed that no rule opens. The first that fits decides.
DIFY_OAUTH_PATH_RULES = [
    {"path": ["/about", "/static/**"], "methods": ["GET"], "who": "anyone"},
    {"path": "/", "methods": ["GET"], "who": "signed-in", "name": "read notes"},
    {"path": ["/admin", "/admin/**"], "roles": ["admin"], "tell": True, "name": "administer"},
    {
        "path": "/api/import",
        "methods": ["POST"],
        "accept": ["bearer"],
        "machines": True,
        "scopes": ["notes:write"],
    },
    {"path": "/api/**", "accept": ["session", "bearer"], "who": "signed-in"},
]
