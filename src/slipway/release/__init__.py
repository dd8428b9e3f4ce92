"""Releases: promote a candidate, pin its image, push both to the Git remote; or roll back."""

from slipway.release.promote import promote
from slipway.release.publish import Published, Remote, propose_candidate, publish, publish_rollback
from slipway.release.rollback import rollback

__all__ = ["Published", "Remote", "promote", "propose_candidate", "publish", "publish_rollback", "rollback"]
