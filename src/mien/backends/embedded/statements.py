"""Hold the SQL that reads and writes the application's tables in mien.db."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mien.domain.groups import DismissedFace, FaceGroup
from mien.domain.records import Consent, Erasure, ErasureReceipt, FaceRecord, NameClaim, Person, Recognition, Upload


@dataclass(frozen=True, slots=True)
class RecordStatements:
    """The SQL for one kind of record.

    `put` takes the columns by name, `get` a JSON array of keys, `delete` a key. A listing is `find`, conditions
    joined by AND, and `newest_first`, which takes the limit. The conditions are `of_user` (a user id), `of_users` (a
    JSON array of them), `of_image` (an image path), `of_digest` (a SHA-256 of a photo), `of_nobody`, `since` and
    `until` (a timestamp each) and `before` (the timestamp and the key of the last record of the page before).
    """

    put: str
    get: str
    delete: str
    find: str
    before: str
    newest_first: str
    of_user: str = "UserId = ?"
    of_users: str = "UserId IN (SELECT value FROM json_each(?))"
    of_image: str = "ImagePath = ?"
    of_digest: str = "json_extract(Item, '$.Digest') = ?"
    of_nobody: str = "UserId IS NULL"
    since: str = "Timestamp >= ?"
    until: str = "Timestamp <= ?"

    @property
    def table(self) -> str:
        """The table's name."""
        return self.find.removeprefix("SELECT Item FROM ").removesuffix(" WHERE")


STATEMENTS: dict[type[Any], RecordStatements] = {
    FaceRecord: RecordStatements(
        put="INSERT OR REPLACE INTO FaceMetadata VALUES (:FaceId, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN FaceMetadata ON FaceId = value ORDER BY json_each.key",
        delete="DELETE FROM FaceMetadata WHERE FaceId = ?",
        find="SELECT Item FROM FaceMetadata WHERE",
        before="(Timestamp, FaceId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, FaceId DESC LIMIT ?",
    ),
    Recognition: RecordStatements(
        put="INSERT OR REPLACE INTO RecognitionResults VALUES (:RecognitionId, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN RecognitionResults ON RecognitionId = value ORDER BY json_each.key",
        delete="DELETE FROM RecognitionResults WHERE RecognitionId = ?",
        find="SELECT Item FROM RecognitionResults WHERE",
        of_user="RecognitionId IN (SELECT RecognitionId FROM RecognitionUsers WHERE UserId = ?)",
        of_users="RecognitionId IN (SELECT RecognitionId FROM RecognitionUsers, json_each(?) WHERE UserId = value)",
        before="(Timestamp, RecognitionId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, RecognitionId DESC LIMIT ?",
    ),
    Upload: RecordStatements(
        put="INSERT OR REPLACE INTO Uploads VALUES (:ImagePath, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Uploads ON ImagePath = value ORDER BY json_each.key",
        delete="DELETE FROM Uploads WHERE ImagePath = ?",
        find="SELECT Item FROM Uploads WHERE",
        before="(Timestamp, ImagePath) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, ImagePath DESC LIMIT ?",
    ),
    Person: RecordStatements(
        put="INSERT OR REPLACE INTO People VALUES (:UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN People ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM People WHERE UserId = ?",
        find="SELECT Item FROM People WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    NameClaim: RecordStatements(
        put="INSERT OR REPLACE INTO NameClaims VALUES (:Key, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN NameClaims ON NameClaims.Key = value ORDER BY json_each.key",
        delete="DELETE FROM NameClaims WHERE Key = ?",
        find="SELECT Item FROM NameClaims WHERE",
        before="(Timestamp, Key) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, Key DESC LIMIT ?",
    ),
    Consent: RecordStatements(
        put="INSERT OR REPLACE INTO Consents VALUES (:UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Consents ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM Consents WHERE UserId = ?",
        find="SELECT Item FROM Consents WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    Erasure: RecordStatements(
        put="INSERT OR REPLACE INTO Erasures VALUES (:UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Erasures ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM Erasures WHERE UserId = ?",
        find="SELECT Item FROM Erasures WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    ErasureReceipt: RecordStatements(
        put="INSERT OR REPLACE INTO ErasureReceipts VALUES (:ErasureId, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN ErasureReceipts ON ErasureId = value ORDER BY json_each.key",
        delete="DELETE FROM ErasureReceipts WHERE ErasureId = ?",
        find="SELECT Item FROM ErasureReceipts WHERE",
        before="(Timestamp, ErasureId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, ErasureId DESC LIMIT ?",
    ),
    FaceGroup: RecordStatements(
        put="INSERT OR REPLACE INTO FaceGroups VALUES (:GroupId, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN FaceGroups ON GroupId = value ORDER BY json_each.key",
        delete="DELETE FROM FaceGroups WHERE GroupId = ?",
        find="SELECT Item FROM FaceGroups WHERE",
        before="(Timestamp, GroupId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, GroupId DESC LIMIT ?",
    ),
    DismissedFace: RecordStatements(
        put="INSERT OR REPLACE INTO DismissedFaces VALUES (:UploadId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN DismissedFaces ON UploadId = value ORDER BY json_each.key",
        delete="DELETE FROM DismissedFaces WHERE UploadId = ?",
        find="SELECT Item FROM DismissedFaces WHERE",
        before="(Timestamp, UploadId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UploadId DESC LIMIT ?",
    ),
}

FACE_SUMMARIES = (
    "SELECT UserId, count(*), Item, max(Timestamp || FaceId) FROM json_each(?) JOIN FaceMetadata ON UserId = value"
    " WHERE json_extract(Item, '$.Negative') IS NOT 1 GROUP BY UserId"
)
"""Takes a JSON array of user ids; the item is that of the row with the maximum, as SQLite promises."""

LIST_GROUPS = (
    "SELECT json_extract(Item, '$.GroupId') AS GroupId, count(*) AS Faces, min(Timestamp), max(Timestamp)"
    " FROM FaceMetadata WHERE json_extract(Item, '$.GroupId') IS NOT NULL AND +UserId IS NULL"
    " AND (?1 OR json_extract(Item, '$.GroupId') NOT IN"
    " (SELECT GroupId FROM FaceGroups WHERE json_extract(Item, '$.Skipped')))"
    " GROUP BY 1 HAVING count(*) >= ?2 AND (count(*) < ?3 OR count(*) = ?3 AND GroupId > ?4)"
    " ORDER BY Faces DESC, 1 LIMIT ?5"
)
COUNT_GROUPS = (
    "SELECT value, count(*), min(Timestamp), max(Timestamp) FROM json_each(?)"
    " JOIN FaceMetadata ON json_extract(Item, '$.GroupId') = value AND UserId IS NULL GROUP BY 1"
)
GROUPS_OF = (
    "SELECT FaceId, json_extract(Item, '$.GroupId') FROM json_each(?) CROSS JOIN FaceMetadata ON FaceId = value"
    " WHERE +UserId IS NULL AND json_extract(Item, '$.GroupId') IS NOT NULL"
)
FACES_OF_GROUP = (
    "SELECT Item FROM FaceMetadata WHERE json_extract(Item, '$.GroupId') = ? AND (UserId IS NOT NULL) = ?"
    " ORDER BY json_extract(Item, '$.Confidence') DESC, FaceId LIMIT ?"
)
LIST_FACES_OF_GROUP = (
    "SELECT Item FROM FaceMetadata WHERE json_extract(Item, '$.GroupId') = ? AND UserId IS NULL"
    " AND (-json_extract(Item, '$.Confidence'), FaceId) > (-json_extract(?, '$'), ?)"
    " ORDER BY json_extract(Item, '$.Confidence') DESC, FaceId LIMIT ?"
)
"""Takes the last confidence as JSON: SQLite reads it as it reads the items, while Python may round it otherwise."""
UNGROUPED = (
    "SELECT Item FROM FaceMetadata WHERE UserId IS NULL AND json_extract(Item, '$.GroupId') IS NULL"
    " AND (Timestamp, FaceId) < (?, ?) ORDER BY Timestamp DESC, FaceId DESC LIMIT ?"
)
EMPTY_GROUPS = (
    "SELECT GroupId FROM FaceGroups WHERE GroupId NOT IN (SELECT json_extract(Item, '$.GroupId') FROM FaceMetadata"
    " WHERE json_extract(Item, '$.GroupId') IS NOT NULL)"
)
"""What `mien.app.group_ports.GroupCatalog` reads; the faces of a group are found by the index FaceMetadata_GroupId, and
`+` keeps SQLite from reading all faces of nobody instead."""
