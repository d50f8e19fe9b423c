"""The mail server, for all who send mails."""

from providers.email import Mailer, SmtpServer
from settings import MailSettings, SmtpSecurity


def mailer() -> Mailer:
    """Sends mails by the server that is configured."""
    settings = MailSettings()
    return Mailer(
        SmtpServer(
            host=settings.smtp_host,
            port=settings.smtp_port,
            tls=settings.smtp_security is SmtpSecurity.TLS,
            starttls=settings.smtp_security is SmtpSecurity.STARTTLS,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            timeout_s=settings.smtp_timeout_s,
        )
    )
