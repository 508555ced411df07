"""Errors that a user can act on: each ends a command in one sentence, without a traceback."""


class OneshotError(Exception):
    """Base of all of them: the message says what is wrong, where, and what to do."""


class ParameterError(OneshotError):
    """A parameter is unknown, missing or out of range."""


class DownloadError(OneshotError):
    """An archive could not be fetched."""


class ArchiveError(OneshotError):
    """An archive is not what it should be: cut off, altered, or unsafe to unpack."""


class DrawingsError(OneshotError):
    """A file of packed drawings is missing, damaged, or not the one that is needed."""


class ImageFolderError(OneshotError):
    """A folder of own images is not laid out as classes, or holds a file that is no readable image."""


class PartError(OneshotError):
    """A stored part of a set is missing, damaged, or not the one that is needed."""


class ChecksumError(OneshotError):
    """What was computed differs from what was published."""


class TrainingError(OneshotError):
    """Training cannot start or cannot go on."""
