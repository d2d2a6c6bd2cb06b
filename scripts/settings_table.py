"""Writes the table of settings into both READMEs, from ``flask_dify_oauth.settings.SETTINGS``.

``python -m scripts.settings_table`` (or ``make readme``) replaces what stands between the markers.
The English meanings are those of the code; the Chinese ones stand here, and a missing one is an
error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from flask_dify_oauth.settings import SETTINGS, Setting

TREE = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- settings: begin (make readme) -->", "<!-- settings: end -->"

#: What :attr:`Setting.meaning` says, in Chinese, by :attr:`Setting.name`.
CHINESE: dict[str, str] = {
    "ISSUER": "身份提供方的签发者（issuer），必须与其元数据中的写法完全一致。",
    "CLIENT_ID": "身份提供方分配给本应用的客户端 ID。",
    "CLIENT_SECRET": "客户端密钥。不设置时，本应用就是公共客户端。",
    "EXTERNAL_URL": "浏览器访问本应用时使用的地址。不设置时只为本机提供服务。",
    "SCOPES": "要申请的权限范围（scope）。",
    "PROVIDERS": "多个身份提供方：一个字典，键是短名称，值是该提供方的设置，"
    "设置名用小写（`issuer`、`client_id` 等）。",
    "LABEL": "身份提供方在页面上显示的名称。",
    "PRESET": "身份提供方的类型，决定其特有的处理方式：`keycloak`、`auth0`、`google`、`entra`、"
    "`okta` 或 `generic`。不设置时根据签发者判断。",
    "SESSION_STORE": "会话保存在哪里：`sqlite:////absolute/path.db`、"
    "`redis://user:password@host:6379/0`、`rediss://…`（TLS）、`unix:///run/redis.sock`、"
    "`redis+sentinel://host:26379,host:26379/service/0` 或"
    " `redis+cluster://host:6379,host:6379`。不设置时使用实例文件夹中的一个文件。",
    "NEAR_CACHE": "用于 Redis：每个进程保留多少个会话，只在服务器表明其未变时使用；`False` 表示"
    "不保留。集群则每次都询问服务器。",
    "ASSUME_GRANTED_SCOPES": "身份提供方没有说明授予了哪些权限范围时，是否视为授予了所申请的"
    "全部权限范围。否则 `scopes_required` 不放行任何人。",
    "USERINFO": "登录时是否读取用户信息端点（userinfo），前提是身份提供方有这个端点。",
    "ID_TOKEN_ALGORITHMS": "接受身份提供方使用的签名算法；元数据中列出的其他算法一律不算数。",
    "DECRYPTION_KEY": "身份提供方加密 ID 令牌所用公钥对应的私钥：PEM、JWK 或 JWK Set"
    "（更换期间可有多把）。设置后，ID 令牌必须加密。",
    "ALLOW_PLAIN_ID_TOKENS": "设置了解密私钥时，是否仍接受未加密的 ID 令牌，"
    "例如在身份提供方切换期间。",
    "TOKEN_ENDPOINT_AUTH_METHOD": "本应用向身份提供方证明自己的方式：`client_secret_basic`、"
    "`client_secret_post` 或 `none`。不设置时根据元数据决定。",
    "AUTHORIZATION_PARAMS": "授权请求的附加参数，例如 `prompt`、`acr_values`、`max_age` 或"
    " `audience`。",
    "REQUIRED_ACR": "身份验证级别（acr）：作为 `acr_values` 发送，返回的级别必须是其中之一。",
    "HOSTED_DOMAIN": "仅用于 Google：只允许这一个 Workspace 域的账号登录。",
    "TENANTS": "仅用于签发者为多租户的 Microsoft Entra ID：允许登录的租户 ID；`*` 表示不限。",
    "POST_LOGOUT_REDIRECT_URI": "在身份提供方登记的退出后返回地址；"
    "不设置时为本应用的 `/logged-out`。",
    "REVOKE_TOKENS": "退出登录时（以及登录被拒绝时），如果身份提供方支持，是否吊销相应的令牌。"
    "不设置时，Google 不吊销（吊销会同时撤回用户的授权），其他提供方吊销。",
    "REVALIDATE_BY": "复查会话的方式：`refresh` 通过刷新令牌（需要 refresh token）；`browser` 让"
    "浏览器的下一次页面访问带着 `prompt=none` 经过身份提供方。",
    "SESSION_MANAGEMENT": "页面是否可以监视身份提供方自己的会话"
    "（OpenID Connect Session Management 1.0）。在禁用第三方 Cookie 的浏览器中不起作用。",
    "LOGOUT_SCOPE": "表单未指明时退出登录的范围：`here`（当前会话）、`provider`（此浏览器在身份"
    "提供方处的会话也一并结束）或 `devices`（用户在本应用的其他会话也一并结束）。",
    "LOGOUT_NEXT": "退出登录后可以前往的其他应用的地址：一个列表。表单字段 `next` 必须与其中之一"
    "完全相同，或者是本应用的页面。",
    "API_AUDIENCE": "本应用的 API 在访问令牌（access token）中的名称（`aud`）。不设置时不接受任何"
    "访问令牌。",
    "API_CLIENTS": "只接受发给这些客户端 ID 的访问令牌。不设置时不限客户端。",
    "API_ALGORITHMS": "接受访问令牌使用的签名算法。",
    "API_DPOP_REQUIRED": "访问令牌是否必须与客户端的密钥绑定（DPoP，RFC 9449）。",
    "API_SCOPES": "本 API 的权限范围，供客户端查询（RFC 9728）。",
    "API_INTROSPECTION": "对于不是 JWT 的访问令牌，是否询问身份提供方。",
    "API_INTROSPECTION_MAX_AGE": "身份提供方的回答保留多少秒；被吊销的令牌最迟在这么多秒后失效。",
    "ALLOWED_EMAIL_DOMAINS": "允许登录的人：已验证的电子邮件地址属于这些域名之一。",
    "ALLOWED_GROUPS": "允许登录的人：属于这些组之一。",
    "ALLOWED_ROLES": "允许登录的人：拥有这些角色之一。",
    "ALLOWED_SUBJECTS": "允许登录的人：`sub` 为其中之一的人。",
    "ALLOWED_CLAIMS": "允许登录的人：一个字典，键是声明（claim）中的路径，"
    "值是该处必须出现其一的值。",
    "DENIED": "无论其他规则如何都不允许登录的人：由 `group:…`、`role:…`、`subject:…`、`domain:…` 和"
    " `claim:路径=值` 组成的列表。",
    "ROLES": "本应用的角色：一个字典，键是角色，值是获得该角色的条件，写法与 `DIFY_OAUTH_DENIED`"
    " 相同。设置后，其他角色一律不算数。",
    "GROUPS_CLAIM": "身份提供方在哪里给出组：声明中的路径，例如 `groups`。不设置时由预设决定。",
    "ROLES_CLAIM": "身份提供方在哪里给出角色，例如 `realm_access.roles` 或"
    " `https://example.com/roles`。不设置时由预设决定。",
    "PATH_RULES": "谁可以访问哪些路径：一个规则列表，由第一条匹配的规则决定。设置后，没有规则开放的"
    "一切都是关闭的。",
    "CORS_ORIGINS": "其他源（origin）上的前端，例如 `https://notes.example.com`：它们的脚本可以使用用户的"
    "会话调用本应用，用户登录后可以回到它们的页面。需要 flask-cors。",
    "ALLOW_CROSS_SITE_WRITES": "设为 `True` 时，允许其他网站的页面以已登录用户的名义进行写操作。",
    "URL_PREFIX": "加在 `/login`、`/callback`、`/logout` 等路由前面的路径。",
    "APP_NAME": "本应用在页面上显示的名称。",
    "IDLE_LIFETIME": "多少秒没有请求后会话结束。",
    "ABSOLUTE_LIFETIME": "登录多少秒后会话必定结束，无论是否在用。",
    "SESSION_LIMIT": "同一个人最多可以同时拥有多少个会话。不设置时不限。",
    "SESSION_LIMIT_REACHED": "登录超出上述数量时怎么办：结束此人最早的会话（`end_oldest`），"
    "或拒绝新的登录（`refuse_new`）。",
    "REVALIDATE": "多少秒后向身份提供方复查会话，使被停用的账号失效，角色变更生效。"
    "不设置时不复查。",
    "SIGN_IN_LIFETIME": "用户在身份提供方处完成登录的时限，单位为秒。",
    "CLOCK_SKEW": "允许身份提供方的时钟与本机相差多少秒。",
    "HTTP_TIMEOUT": "等待身份提供方响应的秒数；接收完整响应最多可用两倍时间。",
    "DISCOVERY_LIFETIME": "多少秒后重新获取身份提供方的元数据和密钥。",
    "ADMIN_KEY": "打开 `/admin` 下管理接口的密钥；更换密钥期间可以同时有多个。"
    "不设置时没有这个接口。",
    "AUDIT_FILE": "审计记录的文件，每条记录是一行 JSON。不设置时，记录写到日志记录器"
    " `flask_dify_oauth.audit`。",
    "AUDIT_REQUIRED": "审计记录无法写入时，是否不让任何人登录。",
}


class Words(NamedTuple):
    """The table's own words in one language."""

    head: tuple[str, str, str]
    #: for settings that each provider may have for itself
    provider: str
    #: for settings that may come from a file; gets the key
    file: str
    unset: str


LANGUAGES: dict[str, tuple[Words, Mapping[str, str]]] = {
    "README.md": (
        Words(
            ("Setting", "Default", "Meaning"),
            " *Per provider.*",
            " Also from a file: `{}_FILE`.",
            "not set",
        ),
        {setting.name: setting.meaning for setting in SETTINGS},
    ),
    "README.zh-CN.md": (
        Words(
            ("设置", "默认值", "含义"), "*可按提供方设置。*", "也可来自文件：`{}_FILE`。", "未设置"
        ),
        CHINESE,
    ),
}


def escape(text: str) -> str:
    """Markdown for one cell: no pipe ends it, and nothing outside a code span is taken for HTML."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    for place in range(0, len(parts), 2):
        parts[place] = parts[place].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(parts)


def default(setting: Setting, unset: str) -> str:
    """A default as it would be written into the configuration."""
    value = setting.default
    if value is None or value in ("", {}, ()):
        return unset
    if isinstance(value, tuple):
        value = " ".join(value)
    elif isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`"


def table(readme: str) -> str:
    """The table for one README.

    :raises SystemExit: when a setting has no meaning in its language, or a meaning no setting.
    """
    words, meanings = LANGUAGES[readme]
    names = {setting.name for setting in SETTINGS}
    if differing := sorted(names ^ meanings.keys()):
        raise SystemExit(f"{readme}: settings and their meanings differ in {', '.join(differing)}")
    lines = [" | ".join(words.head), " | ".join(["---"] * 3)]
    for setting in SETTINGS:
        meaning = escape(meanings[setting.name])
        meaning += words.file.format(setting.key) if setting.secret else ""
        meaning += words.provider if setting.provider else ""
        lines.append(f"`{setting.key}` | {default(setting, words.unset)} | {meaning}")
    return "\n".join(f"| {line} |" for line in lines)


def renewed(text: str, readme: str) -> str:
    """A README's text with its table as it should be.

    :raises SystemExit: when the markers do not stand there once each, in order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before or END in after:
        raise SystemExit(f"{readme}: the markers of the table are missing or doubled")
    return f"{before}{BEGIN}\n{table(readme)}\n{END}{after}"


def main() -> None:
    """Write the table into both READMEs."""
    for readme in LANGUAGES:
        path = TREE / readme
        text = path.read_text(encoding="utf-8")
        path.write_text(renewed(text, readme), encoding="utf-8")


if __name__ == "__main__":
    main()
