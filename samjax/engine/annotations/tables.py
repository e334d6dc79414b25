"""Tables of the annotation database, version by version.

Every version is a list of SQL statements on the tables of the version before. A new file
runs all of them, so that it has the same tables as one that was migrated.
"""

# AUTOINCREMENT: an id is never reused, so that a reference to a mask stays valid.
_ANNOTATIONS = (
    """CREATE TABLE annotations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    counts TEXT NOT NULL,
    area INTEGER NOT NULL,
    bbox TEXT NOT NULL,
    label TEXT NOT NULL,
    prompts TEXT NOT NULL,
    score REAL,
    stability_score REAL,
    source TEXT NOT NULL,
    edited INTEGER NOT NULL,
    level TEXT,
    seconds REAL NOT NULL,
    author TEXT NOT NULL,
    place REAL,
    created TEXT NOT NULL,
    changed TEXT NOT NULL
)""",
    "CREATE INDEX annotations_of_image ON annotations (image, revision)",
    "CREATE TABLE counter (revision INTEGER NOT NULL)",
    "INSERT INTO counter VALUES (0)",
)

# Stages of the data engine: 1 assisted-manual, 2 semi-automatic, 3 automatic (SAM,
# section 4). What nobody counted is NULL.
_PROVENANCE = (
    "stage INTEGER NOT NULL DEFAULT 1",
    "round INTEGER NOT NULL DEFAULT 0",
    "model TEXT NOT NULL DEFAULT ''",
    "active_seconds REAL",
    "clicks INTEGER",
    "strokes INTEGER",
    "undos INTEGER",
)

KEPT = (
    *("revision", "deleted", "height", "width", "counts", "area", "bbox", "label"),
    *("prompts", "score", "stability_score", "source", "edited", "level", "seconds"),
    *("author", "place", "stage", "round", "model", "active_seconds", "clicks"),
    *("strokes", "undos", "changed"),
)
"""Columns of an annotation that can change; `versions` keeps the former values."""

# Triggers, so that no way of writing can forget the history: that of a server of an
# older version included, which may have the file open during the migration. A row
# without a new revision was not changed by a client: its author was renamed.
_HISTORY = (
    f"""CREATE TABLE versions (
    annotation INTEGER NOT NULL REFERENCES annotations (id),
    {", ".join(KEPT)},
    PRIMARY KEY (annotation, revision)
) WITHOUT ROWID""",
    f"""CREATE TRIGGER keep_version AFTER UPDATE ON annotations
WHEN OLD.revision <> NEW.revision
BEGIN
    INSERT INTO versions (annotation, {", ".join(KEPT)})
    VALUES (OLD.id, {", ".join(f"OLD.{name}" for name in KEPT)});
END""",
    f"""CREATE TRIGGER versions_do_not_change BEFORE UPDATE OF
{", ".join(name for name in KEPT if name != "author")} ON versions
BEGIN
    SELECT RAISE(ABORT, 'versions of annotations are not changed');
END""",
)

_TASKS = (
    """CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    assignee TEXT,
    lease_until REAL,
    priority REAL NOT NULL DEFAULT 0,
    round INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL,
    changed TEXT NOT NULL
)""",
    "CREATE INDEX tasks_in_order ON tasks (state, kind, priority DESC, id)",
    "CREATE INDEX tasks_of_image ON tasks (image)",
)

# A layer has the masks of one task, apart from the image's own (layer 0): those of a gold
# image, and those of the second of two people on one image. `subject` is the task that
# is verified. `revision` is that of the annotations when the task was finished; while it
# is leased, when it was claimed.
_TEAM = (
    "ALTER TABLE annotations ADD COLUMN layer INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE tasks ADD COLUMN purpose TEXT NOT NULL DEFAULT 'work'",
    "ALTER TABLE tasks ADD COLUMN layer INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE tasks ADD COLUMN place REAL",
    "ALTER TABLE tasks ADD COLUMN subject INTEGER",
    "ALTER TABLE tasks ADD COLUMN revision INTEGER",
    "UPDATE tasks SET place = id",
    "DROP INDEX tasks_in_order",
    "CREATE INDEX tasks_in_order ON tasks (state, kind, priority DESC, place)",
    "CREATE INDEX tasks_of_person ON tasks (assignee, state)",
    "CREATE INDEX annotations_of_author ON annotations (author)",
    "CREATE INDEX versions_of_author ON versions (author)",
    """CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    token TEXT,
    created TEXT NOT NULL
)""",
    """CREATE TABLE reviews (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL,
    image TEXT NOT NULL,
    round INTEGER NOT NULL,
    annotator TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    verdict TEXT NOT NULL,
    note TEXT NOT NULL,
    created TEXT NOT NULL
)""",
    """CREATE TABLE scores (
    task INTEGER PRIMARY KEY,
    other INTEGER,
    image TEXT NOT NULL,
    mean_iou REAL,
    matched INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    extra INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    other_revision INTEGER NOT NULL
)""",
)

# Regions and verdicts on masks are removed by a further value, never overwritten. Scores
# are computed again, with what they have since.
_VERDICTS = (
    """CREATE TABLE regions (
    uuid TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    box TEXT NOT NULL,
    author TEXT NOT NULL,
    created TEXT NOT NULL,
    removed TEXT,
    removed_by TEXT
)""",
    "CREATE INDEX regions_of_image ON regions (image)",
    """CREATE TABLE mask_reviews (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL,
    annotation INTEGER NOT NULL,
    image TEXT NOT NULL,
    revision INTEGER NOT NULL,
    reviewer TEXT NOT NULL,
    verdict TEXT NOT NULL,
    note TEXT NOT NULL,
    created TEXT NOT NULL
)""",
    "CREATE INDEX mask_reviews_of_mask ON mask_reviews (annotation, id)",
    "ALTER TABLE reviews ADD COLUMN seconds REAL",
    "ALTER TABLE reviews ADD COLUMN active_seconds REAL",
    "DELETE FROM scores",
    "ALTER TABLE scores ADD COLUMN boundary_iou REAL",
    "ALTER TABLE scores ADD COLUMN labels TEXT NOT NULL DEFAULT '[]'",
    # Without a new revision, so that no version is added.
    """UPDATE annotations SET source = 'rejected'
    WHERE source = 'proposed' AND edited = 0 AND deleted = 1 AND author <> ''""",
)

MIGRATIONS = (
    _ANNOTATIONS,
    (
        *(f"ALTER TABLE annotations ADD COLUMN {column}" for column in _PROVENANCE),
        *_HISTORY,
        *_TASKS,
    ),
    _TEAM,
    _VERDICTS,
)
"""`MIGRATIONS[v]` turns a database of version v into one of version v + 1."""

VERSION = len(MIGRATIONS)
