//! Which backups are in a place, and the segments that they name.

use bytes::Bytes;
use replication::archive::{
    backup::{Backup, SegmentRef},
    segment::{self, Opened},
};

use super::{Error, Objects};
use crate::secrets::hex;

/// Where the objects are that name all others.
const BACKUPS: &str = "backups";

/// A backup, and its name.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name, as `--backup` takes it.
    pub name: String,
    /// What it consists of.
    pub backup: Backup,
}

/// The backups in a place. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Objects);

impl Catalog {
    /// Of a place.
    pub fn new(objects: Objects) -> Self {
        Self(objects)
    }

    /// The place, as it was given.
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// The names of all backups, the oldest first.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let objects = self.0.list(BACKUPS).await?.into_iter();
        let names = objects.filter_map(|object| {
            let name = object.strip_prefix(BACKUPS)?.strip_prefix('/')?;
            Some(name.strip_suffix(".backup")?.to_owned())
        });
        Ok(names.collect())
    }

    /// The newest backup, if there is any.
    pub async fn newest(&self) -> Result<Option<Found>, Error> {
        match self.names().await?.pop() {
            Some(name) => Ok(Some(self.read(name).await?)),
            None => Ok(None),
        }
    }

    /// The backup of a name, or the newest.
    pub async fn find(&self, name: Option<&str>) -> Result<Found, Error> {
        let mut names = self.names().await?;
        let Some(newest) = names.pop() else {
            return Err(Error::None(self.place().to_owned()));
        };
        match name {
            None => self.read(newest).await,
            Some(name) if name == newest || names.iter().any(|it| it == name) => {
                self.read(name.to_owned()).await
            }
            Some(name) => Err(Error::NoSuch {
                place: self.place().to_owned(),
                name: name.to_owned(),
                has: newest,
            }),
        }
    }

    async fn read(&self, name: String) -> Result<Found, Error> {
        let object = format!("{BACKUPS}/{name}.backup");
        let content = self.0.get(&object).await?;
        let damaged = |cause: String| Error::Backup {
            object: object.clone(),
            cause,
        };
        let hash = hex(blake3::hash(&content).as_bytes());
        if !name.ends_with(&hash) {
            return Err(damaged(format!("its hash is {hash}")));
        }
        let backup = Backup::decode(&content).map_err(|cause| damaged(cause.to_string()))?;
        Ok(Found { name, backup })
    }

    /// Writes a backup; what it names is there already. Its name.
    pub(super) async fn write(&self, backup: &Backup) -> Result<String, Error> {
        let content = backup.encode();
        let hash = hex(blake3::hash(&content).as_bytes());
        // Names are in the order of time.
        let name = format!("{:020}-{hash}", backup.wall_nanos);
        self.0
            .put(&format!("{BACKUPS}/{name}.backup"), content)
            .await?;
        Ok(name)
    }

    /// Writes a segment that may be there. Whether it was not.
    pub(super) async fn put(
        &self,
        shard: u32,
        it: &SegmentRef,
        object: Bytes,
    ) -> Result<bool, Error> {
        Ok(self.0.put(&object_of(shard, it), object).await?)
    }

    /// Reads a segment and opens it, all of it. `before` is the head that it goes on from.
    pub async fn open(
        &self,
        shard: u32,
        it: &SegmentRef,
        before: [u8; 32],
    ) -> Result<Opened, Error> {
        let object = object_of(shard, it);
        let content = self.0.get(&object).await?;
        let wanted = it.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let opened = segment::open(&content, &wanted.hash)?;
            let about = &opened.about;
            let found = (
                about.shard,
                about.first.index,
                about.last.index,
                about.after,
            );
            if found != (shard, wanted.first, wanted.last, wanted.after) {
                return Err(segment::Damage::Disagrees("place in the log"));
            }
            if about.before != before {
                return Err(segment::Damage::Chain {
                    index: wanted.first.saturating_sub(1),
                    computed: hex(&before),
                    expected: hex(&about.before),
                });
            }
            Ok(opened)
        });
        let opened = opening
            .await
            .map_err(|ended| Error::Broken(ended.to_string()))?;
        opened.map_err(|cause| Error::Segment {
            shard,
            first: it.first,
            object,
            cause,
        })
    }
}

/// The name of a segment: the same records have the same.
pub(super) fn object_of(shard: u32, it: &SegmentRef) -> String {
    format!(
        "segments/{shard:010}/{:020}-{}.segment",
        it.first,
        hex(&it.hash)
    )
}
