"""What pages and JSON answers say for each error code: what happened and what to do, for anyone.

The English text is the key of the translation (``translations/``). No ``%`` and no markup in here.
"""

from __future__ import annotations

from .message import N_, Message
from .messages_api import API_MESSAGES

__all__ = ["MESSAGES", "Message", "message_for"]


MESSAGES: dict[str, Message] = {
    "failed": Message(
        N_("Sign-in did not work"),
        N_("Something went wrong while you were signing in."),
        N_("Please try again."),
    ),
    "invalid_request": Message(
        N_("This request cannot be used"),
        N_("The address that your browser opened is incomplete or damaged."),
        N_("Go back to the page where you started and try again from there."),
    ),
    "ambiguous_path": Message(
        N_("This address is not clear"),
        N_("The address that your browser opened can be read in more than one way."),
        N_("Go back to the page where you started and try again from there."),
    ),
    "insecure_transport": Message(
        N_("This address cannot be used for signing in"),
        N_("You reached this application by an address that is not safe or not the right one."),
        N_("Open the application by its usual address, the one that begins with https."),
        N_(
            "Browsers must reach the application at exactly DIFY_OAUTH_EXTERNAL_URL. Behind a"
            " proxy, use Werkzeug's ProxyFix and let the proxy set X-Forwarded-Proto and"
            " X-Forwarded-Host."
        ),
    ),
    "transaction_lost": Message(
        N_("This sign-in was not started here"),
        N_(
            "The answer that came back does not belong to a sign-in of this browser. That happens"
            " after using the Back button, an old bookmark, or a second browser."
        ),
        N_("Start signing in again, and finish in the same browser."),
    ),
    "transaction_expired": Message(
        N_("Signing in took too long"),
        N_("For your safety, a sign-in that has been started is only good for a few minutes."),
        N_("Start again; it will be quicker this time."),
    ),
    "cookies_blocked": Message(
        N_("Your browser did not keep our cookie"),
        N_("Signing in needs a small cookie for a few minutes, and your browser did not send it."),
        N_("Allow cookies for this site, or leave the private window, and try again."),
        N_(
            "Secure cookies are kept only under https, and only for one host name: localhost and"
            " 127.0.0.1 are two. Browsers must reach the application at DIFY_OAUTH_EXTERNAL_URL."
        ),
    ),
    "provider_refused": Message(
        N_("The sign-in service said no"),
        N_("The service where you sign in did not accept this application's request."),
        N_("Trying again may help. If not, only the people who run this application can fix it."),
        N_(
            "The log shows the provider's error. Compare the client id, the client secret and the"
            " redirect address with those registered at the provider."
        ),
    ),
    "access_denied": Message(
        N_("Sign-in was cancelled"),
        N_("You, or the sign-in service, chose not to go on. Nothing was changed."),
        N_("If you did not mean to cancel, try again."),
    ),
    "login_required": Message(
        N_("You need to sign in again"),
        N_("The sign-in service does not know you any more in this browser."),
        N_("Start again and enter your name and password."),
    ),
    "interaction_required": Message(
        N_("The sign-in service needs you"),
        N_("It wants to ask you something first, and that was not possible this time."),
        N_("Start again and answer what the service asks."),
    ),
    "consent_required": Message(
        N_("Your consent is needed"),
        N_("The sign-in service first wants to ask whether this application may know who you are."),
        N_("Start again and say yes to the question, if you agree."),
    ),
    "temporarily_unavailable": Message(
        N_("The sign-in service is busy"),
        N_("The service where you sign in is overloaded or under maintenance at the moment."),
        N_("Wait a minute, then try again."),
    ),
    "token_refused": Message(
        N_("Sign-in could not be confirmed"),
        N_("What the sign-in service sent did not pass our safety checks, so nobody was let in."),
        N_("Try again. If it fails again, please tell the people who run this application."),
        N_("The log says which check failed. Compare the issuer, the client id and algorithms."),
    ),
    "clock_skew": Message(
        N_("Two clocks do not agree"),
        N_("The clocks of this server and of the sign-in service differ too much."),
        N_("You cannot fix this yourself. Please tell the people who run this application."),
        N_("Let the clock of this server, and of the provider's, be set by NTP."),
    ),
    "sign_in_refused": Message(
        N_("This account may not come in"),
        N_("We know who you are, but this account is not allowed to use this application."),
        N_("Use another account if you have one, or ask for access."),
    ),
    "session_limit": Message(
        N_("You are signed in too often"),
        N_("Your account may be signed in only so many times at once, and all places are taken."),
        N_("Sign out on another device, or end a session on the page of your sessions there."),
        N_(
            "DIFY_OAUTH_SESSION_LIMIT says how many; the person finds theirs at /sessions, and you"
            " end them by: flask oauth sessions revoke"
        ),
    ),
    "email_not_verified": Message(
        N_("Your e-mail address is not confirmed"),
        N_(
            "This application lets people in by their e-mail address, and the sign-in service has"
            " not confirmed that yours is your own."
        ),
        N_("Confirm your address at the sign-in service, then sign in again."),
        N_(
            "The claim email_verified is not true. DIFY_OAUTH_ALLOWED_EMAIL_DOMAINS counts"
            " confirmed addresses alone."
        ),
    ),
    "email_domain_refused": Message(
        N_("This e-mail address may not come in"),
        N_(
            "Only accounts with an e-mail address of certain organisations may use this"
            " application, and yours is of none of them."
        ),
        N_("Use another account if you have one, or ask for access."),
    ),
    "groups_not_told": Message(
        N_("Your groups could not be read"),
        N_(
            "The sign-in service did not hand over the groups or roles of your account, so it is"
            " not known what you may do here. That happens to accounts in very many groups."
        ),
        N_("You cannot fix this yourself. Please tell the people who run this application."),
        N_(
            "The provider sent a reference in place of the list. Let it send only the groups that"
            " are assigned to this application, or fetch them in an on_group_overage hook."
        ),
    ),
    "too_much_told": Message(
        N_("There is too much in your account"),
        N_(
            "The sign-in service sent more about your account than this application can keep,"
            " most likely very many groups."
        ),
        N_("You cannot fix this yourself. Please tell the people who run this application."),
        N_("Let the provider send only the claims and groups that this application needs."),
    ),
    "access_withdrawn": Message(
        N_("Your access has ended"),
        N_(
            "Your rights at the sign-in service have changed, and this account may not use this"
            " application any more. You have been signed out here."
        ),
        N_("Use another account if you have one, or ask for access."),
    ),
    "provider_unusable": Message(
        N_("The sign-in service gave a strange answer"),
        N_("The service where you sign in sent something that this application cannot read."),
        N_("Try again in a few minutes."),
        N_("The log shows what was wrong. Check the issuer, and any proxy on the way to it."),
    ),
    "provider_unavailable": Message(
        N_("The sign-in service does not answer"),
        N_("The service where you sign in cannot be reached right now, or is too slow."),
        N_("Wait a minute, then try again."),
        N_("Check the network, the name service and the certificates from this server's side."),
    ),
    "store_unavailable": Message(
        N_("We cannot recognise you right now"),
        N_("The place where we remember who is signed in does not answer."),
        N_("Wait a minute, then try again. You may not even have to sign in again."),
        N_("Check the session store (DIFY_OAUTH_SESSION_STORE): is it there, and not full?"),
    ),
    "audit_unavailable": Message(
        N_("Nobody can sign in right now"),
        N_("Each sign-in here must be written down, and that did not work. You are not signed in."),
        N_("Wait a minute, then try again."),
        N_("Check where audit records go (DIFY_OAUTH_AUDIT_FILE): is it there, and not full?"),
    ),
    "unknown_provider": Message(
        N_("We do not know this sign-in service"),
        N_("The address names a sign-in service that this application does not use."),
        N_("Start signing in again."),
    ),
    "not_signed_in": Message(
        N_("You are not signed in"),
        N_("This page is only for people who have signed in."),
        N_("Sign in and you will come back here."),
    ),
    "grant_gone": Message(
        N_("Please sign in again"),
        N_("The sign-in service has ended your sign-in, or it ran out and could not be renewed."),
        N_("Sign in again and you will come back to this page."),
    ),
    "forbidden": Message(
        N_("This page is not open to you"),
        N_("You are signed in, but your account has no permission to see this page."),
        N_("Use another account if you have one, or ask for access."),
    ),
    "insufficient_user_authentication": Message(
        N_("Please confirm that it is you"),
        N_(
            "This needs a sign-in that is more recent or stronger than yours. Nothing was done yet."
        ),
        N_(
            "Confirm it in the new tab that the button opens. Then come back to this tab and reload"
            " it; your browser will offer to send again what you entered."
        ),
    ),
    "step_up_failed": Message(
        N_("The sign-in service did not ask enough"),
        N_(
            "This page needs a sign-in that is more recent or stronger. The sign-in service was"
            " asked for one and did not give it."
        ),
        N_("Try again, or use another account. If it stays like this, ask for help."),
        N_(
            "The log says what is needed. The provider must send auth_time, and the context class"
            " (acr) that it was asked for; acr_values in DIFY_OAUTH_AUTHORIZATION_PARAMS wins over"
            " what a guard asks for."
        ),
    ),
    "foreign_request": Message(
        N_("Another site asked for this"),
        N_("The request did not come from this application, so nothing was done."),
        N_("If it was you who wanted it, do it again from a page of this application."),
    ),
    "unexpected": Message(
        N_("Something went wrong here"),
        N_("It is not your fault. The details have been written down for those who can fix it."),
        N_("Try again in a few minutes."),
    ),
    **API_MESSAGES,
}


def message_for(code: str) -> Message:
    """The texts for a code; those of ``failed`` for a code of the application's own."""
    return MESSAGES.get(code, MESSAGES["failed"])
