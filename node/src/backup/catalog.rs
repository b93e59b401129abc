//! Which backups are in a place, and the segments that they name.

use bytes::Bytes;
use replication::archive::{
    backup::{Backup, SegmentRef},
    segment::{self, Opened},
};

use super::Error;
use crate::objects::Objects;
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

    pub(super) fn objects(&self) -> &Objects {
        &self.0
    }

    /// The place, as it was given.
    pub fn place(&self) -> &str {
        self.0.place()
    }

    /// The names of all backups, the oldest first.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let objects = self.0.list(BACKUPS).await?.into_keys();
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

    /// Of some segments, from the first on, as many as are there with their length.
    pub(super) async fn there(
        &self,
        shard: u32,
        mut segments: Vec<SegmentRef>,
    ) -> Result<Vec<SegmentRef>, Error> {
        let objects = self.0.list(&folder_of(shard)).await?;
        let is_there = |it: &SegmentRef| objects.get(&object_of(shard, it)) == Some(&it.bytes);
        let there = segments.iter().take_while(|it| is_there(it)).count();
        segments.truncate(there);
        Ok(segments)
    }

    /// Writes a segment that may be there, whole. Whether it was not.
    pub(super) async fn put(
        &self,
        shard: u32,
        it: &SegmentRef,
        content: Bytes,
    ) -> Result<bool, Error> {
        let object = object_of(shard, it);
        if self.0.put(&object, content).await? {
            return Ok(true);
        }
        let found = blake3::hash(&self.0.get(&object).await?);
        if *found.as_bytes() == it.hash {
            return Ok(false);
        }
        let cause = segment::Damage::Hash {
            found: hex(found.as_bytes()),
            expected: hex(&it.hash),
        };
        Err(Error::Segment {
            shard,
            first: it.first,
            object,
            cause,
        })
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

/// Where a shard's segments are.
fn folder_of(shard: u32) -> String {
    format!("segments/{shard:010}")
}

/// The name of a segment: the same records have the same.
pub(super) fn object_of(shard: u32, it: &SegmentRef) -> String {
    let folder = folder_of(shard);
    format!("{folder}/{:020}-{}.segment", it.first, hex(&it.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(first: u64, content: &Bytes) -> SegmentRef {
        SegmentRef {
            hash: *blake3::hash(content).as_bytes(),
            bytes: content.len() as u64,
            first,
            last: first,
            after: [0; 32],
            last_wall_nanos: 0,
            record_bytes: 1,
        }
    }

    #[tokio::test]
    async fn a_segment_that_is_gone_or_cut_short_is_not_there_and_neither_is_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(Objects::open(dir.path().to_str().unwrap()).unwrap());
        let contents = ["one", "two", "three"].map(Bytes::from);
        let all: Vec<_> = (0..).zip(&contents).map(|(n, it)| segment(n, it)).collect();
        for (it, content) in all.iter().zip(&contents) {
            assert!(catalog.put(7, it, content.clone()).await.unwrap());
            assert!(!catalog.put(7, it, content.clone()).await.unwrap());
        }
        assert_eq!(catalog.there(7, all.clone()).await.unwrap(), all);
        assert_eq!(catalog.there(8, all.clone()).await.unwrap(), []);

        let second = dir.path().join(object_of(7, &all[1]));
        std::fs::write(&second, "tw").unwrap();
        assert_eq!(catalog.there(7, all.clone()).await.unwrap(), all[..1]);
        let damaged = catalog.put(7, &all[1], contents[1].clone()).await;
        assert!(damaged.unwrap_err().to_string().contains("its hash is"));
        std::fs::remove_file(&second).unwrap();
        assert_eq!(catalog.there(7, all.clone()).await.unwrap(), all[..1]);
        assert!(catalog.put(7, &all[1], contents[1].clone()).await.unwrap());
        assert_eq!(catalog.there(7, all.clone()).await.unwrap(), all);
    }
}
