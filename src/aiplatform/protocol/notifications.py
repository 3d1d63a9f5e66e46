"""The types of notifications and webhook events, in alphabetical order."""

from enum import StrEnum


class NotificationType(StrEnum):
    """The type of a notification. The texts are in ``server/notifications/rules.py``."""

    DATASET_FAILED = "dataset:failed"
    DATASET_READY = "dataset:ready"
    DEPLOYMENT_CRASHED = "deployment:crashed"
    DEPLOYMENT_READY = "deployment:ready"
    DEPLOYMENT_UPDATED = "deployment:updated"
    DEPLOYMENT_UPDATE_FAILED = "deployment:update_failed"
    MEMBER_ADDED = "member:added"
    MEMBER_CHANGED = "member:changed"
    MEMBER_DECLINED = "member:declined"
    MEMBER_INVITED = "member:invited"
    MEMBER_JOINED = "member:joined"
    MEMBER_REMOVED = "member:removed"
    MODEL_REGISTERED = "model:registered"
    PROJECT_RECEIVED = "project:received"
    PROJECT_TRANSFERRED = "project:transferred"
    QUOTA_NEAR = "quota:near"
    SCHEDULE_FAILED = "schedule:failed"
    SECURITY_EMAIL_CHANGED = "security:email_changed"
    SECURITY_KEY_CREATED = "security:key_created"
    SECURITY_KEY_REVOKED = "security:key_revoked"
    SECURITY_LOGIN = "security:login"
    SECURITY_PASSWORD_CHANGED = "security:password_changed"  # noqa: S105
    SECURITY_PASSWORD_RESET = "security:password_reset"  # noqa: S105
    SECURITY_RECOVERY_CODES_RENEWED = "security:recovery_codes_renewed"
    SECURITY_TOKEN_REUSED = "security:token_reused"  # noqa: S105
    SECURITY_TOTP_DISABLED = "security:totp_disabled"
    SECURITY_TOTP_ENABLED = "security:totp_enabled"
    SWEEP_ENDED = "sweep:ended"
    TASK_ALERT = "task:alert"
    TASK_COMPLETED = "task:completed"
    TASK_FAILED = "task:failed"
    WEBHOOK_DISABLED = "webhook:disabled"
    WORKER_CORDONED = "worker:cordoned"

    @property
    def is_personal(self) -> bool:
        """True if the notification only concerns an account, so that no webhook receives it."""
        return self.partition(":")[0] == "security"


class EmailMode(StrEnum):
    """The frequency with which a user's notifications are emailed."""

    OFF = "off"
    IMMEDIATE = "immediate"
    HOURLY = "hourly"
    DAILY = "daily"


class DeliveryStatus(StrEnum):
    """The state of a webhook delivery or an email."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
