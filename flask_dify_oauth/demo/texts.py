"""The Chinese of the demonstration's pages. The English stands in the templates and is the key."""

from __future__ import annotations

__all__ = ["CHINESE"]

CHINESE: dict[str, str] = {
    # the provider
    "Demonstration provider": "演示用身份提供方",
    "For demonstration only": "仅供演示",
    "Anyone can sign in here as anyone. Never connect it to real data.":
        "任何人都能以任何身份在此登录，切勿连接真实数据。",
    "Sign in": "登录",
    "Sign in to {name}": "登录到 {name}",
    "Choose who you want to be.": "请选择您要使用的身份。",
    "You are signed in as {name}. Choose who goes on.":
        "您当前以 {name} 登录。请选择继续使用的身份。",
    "suggested": "建议",
    "Groups: {groups}": "用户组：{groups}",
    "no groups": "无用户组",
    "Sign in with a password": "使用密码登录",
    "User name or e-mail": "用户名或电子邮箱",
    "Password": "密码",
    "Here the password is the same as the user name.": "此处的密码与用户名相同。",
    "This user name and password do not belong together. Try again.":
        "用户名与密码不匹配，请重试。",
    "Cancel": "取消",
    "This request cannot be answered": "无法处理此请求",
    "The application that sent you here is not known.": "将您引导至此的应用未在此注册。",
    "The address to return to is not registered for this application.": "返回地址未为该应用注册。",
    "The sign-out request does not come from a sign-in made here.":
        "此退出请求并非来自在此处进行的登录。",
    "The sign-out request repeats a parameter.": "退出请求中有重复的参数。",
    "You have not been sent on, because nobody vouches for where it leads.":
        "由于无法确认目标地址是否可信，系统没有将您转到该处。",
    "Whoever runs the application has to correct its registration.":
        "请应用的管理员更正其注册信息。",
    "To the provider's page": "前往身份提供方页面",
    "Sign out?": "要退出登录吗？",
    "{name} asks to end your sign-in here.": "{name} 请求结束您在此处的登录。",
    "An application asks to end your sign-in here.": "某个应用请求结束您在此处的登录。",
    "You are signed in as {name}.": "您当前以 {name} 登录。",
    "Sign out": "退出登录",
    "You are signed out": "您已退出登录",
    "Your sign-in at the provider has ended.": "您在身份提供方处的登录已结束。",
    "Applications that were told:": "已通知的应用：",
    "told": "已通知",
    "not reached": "未能通知",
    "Tells an application that you are signed out": "通知应用您已退出登录",
    "Back to {name}": "返回{name}",
    "Nobody is signed in with this browser.": "此浏览器中没有人登录。",
    "Start at the application; it sends you here when it needs to know who you are.":
        "请从应用开始；当应用需要确认您的身份时，会将您引导至此。",
    "Sign out everywhere": "全部退出",
    "Change the signing key": "更换签名密钥",
    "Signs with a new key from now on; applications have to notice by themselves.":
        "今后使用新密钥签名；各应用须自行发现这一变化。",
    "The signing key has been changed.": "签名密钥已更换。",
    "Issuer": "签发者",
    # the portal
    "Demo portal": "演示门户",
    "Second portal": "第二个门户",
    "Skip to the content": "跳至内容",
    "Main": "主导航",
    "Home": "首页",
    "My page": "我的主页",
    "Administration": "管理",
    "One sign-in, for every door": "一次登录，处处通行",
    "This page is open to all, the next knows your name, the last is for administrators.":
        "本页对所有人开放，下一页知道您的姓名，最后一页仅限管理员。",
    "Open my page": "打开我的主页",
    "Try it": "试一试",
    "Open to all": "对所有人开放",
    "You are here. No session is made for visitors.": "您就在这里。系统不会为访客创建会话。",
    "For people who are signed in": "仅限已登录者",
    "The guard sends you to sign in and brings you back to the page that you wanted.":
        "守卫会引导您登录，然后带您回到想去的页面。",
    "For administrators": "仅限管理员",
    "Alice may come in. Bob and Carol are told why not.":
        "Alice 可以进入；Bob 和 Carol 会看到被拒绝的原因。",
    "Ask the server for the time": "向服务器询问时间",
    "A script calls an address that answers only those who are signed in.":
        "由脚本调用一个只回应已登录者的地址。",
    "Asking…": "正在询问……",
    "The server says {time} to {name}.": "服务器告诉 {name}：现在是 {time}。",
    "You are not signed in, so the server answered 401.": "您尚未登录，服务器返回了 401。",
    "The server could not be reached.": "无法连接服务器。",
    "This button needs JavaScript; all the rest does not.":
        "此按钮需要 JavaScript，其余功能均不需要。",
    "Hello, {name}": "您好，{name}",
    "This is what the application knows about you.": "以下是应用所了解的您的信息。",
    "Name": "姓名",
    "E-mail": "电子邮箱",
    "confirmed": "已验证",
    "Groups": "用户组",
    "Roles": "角色",
    "none": "无",
    "Signed in": "登录时间",
    "Subject": "用户标识",
    "Only administrators see this page.": "只有管理员能看到此页。",
    "You hold the role admin, so the door is open.": "您拥有 admin 角色，因此可以进入。",
    "This page is not for you": "您无权访问此页",
    "You are signed in as {name}, but you do not hold the role admin.":
        "您已以 {name} 登录，但没有 admin 角色。",
    "Signing in again would not help; an administrator can give you the role.":
        "重新登录没有帮助；管理员可以授予您该角色。",
    "Page not found": "找不到页面",
    "There is nothing at this address.": "此地址没有内容。",
    "Back to the home page": "返回首页",
    "Provider: {issuer}": "身份提供方：{issuer}",
}  # fmt: skip
