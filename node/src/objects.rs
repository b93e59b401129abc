//! Where objects are kept: a directory, or a bucket of S3 or of what speaks like it.
//!
//! An object is written once, whole, and never again. What is in it is in its name.

use std::{collections::BTreeMap, io, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path,
};
use replication::world::{Archive, Getting, Putting};

/// What S3's addresses begin with.
const S3: &str = "s3://";

/// Why objects cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a place.
    #[error("{place} is no place for objects: {cause}")]
    Place {
        /// What was given.
        place: String,
        /// Why not.
        cause: String,
    },
    /// An object that something names is not there.
    #[error("{place}: the object {object} is not there")]
    Missing {
        /// Where.
        place: String,
        /// Which.
        object: String,
    },
    /// The directory or the server fails.
    #[error("{place}: the object {object}: {cause}")]
    Failed {
        /// Where.
        place: String,
        /// Which, or what all of those that are wanted begin with.
        object: String,
        /// Why.
        cause: String,
    },
}

/// A place for objects. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
}

impl Objects {
    /// Opens `s3://bucket/prefix` or a directory, which is made if it is not there. Where S3 is, and
    /// who asks, is in the usual variables of the environment (`AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`).
    pub fn open(place: &str) -> Result<Self, Error> {
        let wrong = |cause: String| Error::Place {
            place: place.to_owned(),
            cause,
        };
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match place.strip_prefix(S3) {
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                // Another part of this program may have said the same before.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket);
                let s3 = s3.build().map_err(|cause| wrong(cause.to_string()))?;
                (Arc::new(s3), prefix)
            }
            None => {
                let directory = FilePath::new(place);
                let made = std::fs::create_dir_all(directory);
                made.map_err(|cause| wrong(cause.to_string()))?;
                let files = LocalFileSystem::new_with_prefix(directory);
                let files = files.map_err(|cause| wrong(cause.to_string()))?;
                (Arc::new(files.with_fsync(true)), "")
            }
        };
        Ok(Self {
            store,
            prefix: Path::parse(prefix).map_err(|cause| wrong(cause.to_string()))?,
            place: place.to_owned(),
        })
    }

    /// As it was given.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes an object that is not there yet. Whether it was written: one of this name that is there
    /// stays as it is.
    pub async fn put(&self, object: &str, content: Bytes) -> Result<bool, Error> {
        let path = self.path(object);
        let put = self
            .store
            .put_opts(&path, content.into(), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(cause) => Err(self.failed(object, &cause)),
        }
    }

    /// Reads an object.
    pub async fn get(&self, object: &str) -> Result<Bytes, Error> {
        let get = async { self.store.get(&self.path(object)).await?.bytes().await };
        get.await.map_err(|cause| match cause {
            object_store::Error::NotFound { .. } => Error::Missing {
                place: self.place.clone(),
                object: object.to_owned(),
            },
            cause => self.failed(object, &cause),
        })
    }

    /// Writes an object in the place of one of that name.
    async fn replace(&self, object: &str, content: Bytes) -> Result<(), Error> {
        let put = self.store.put(&self.path(object), content.into()).await;
        put.map(drop).map_err(|cause| self.failed(object, &cause))
    }

    /// The objects in a folder, in the order of their names, and how long each is in bytes.
    pub async fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, Error> {
        let found = self.store.list(Some(&self.path(folder)));
        let found: Vec<_> = found
            .try_collect()
            .await
            .map_err(|cause| self.failed(folder, &cause))?;
        let named = |object: ObjectMeta| {
            let name = object.location.filename()?;
            Some((format!("{folder}/{name}"), object.size))
        };
        Ok(found.into_iter().filter_map(named).collect())
    }

    fn path(&self, object: &str) -> Path {
        let object = Path::from(object);
        self.prefix.parts().chain(object.parts()).collect()
    }

    fn failed(&self, object: &str, cause: &object_store::Error) -> Error {
        Error::Failed {
            place: self.place.clone(),
            object: object.to_owned(),
            cause: cause.to_string(),
        }
    }
}

impl Archive for Objects {
    fn put(&self, object: &str, content: Bytes) -> Putting {
        let (objects, object) = (self.clone(), object.to_owned());
        Box::pin(async move {
            let put = objects.replace(&object, content).await;
            put.map_err(io::Error::other)
        })
    }

    fn get(&self, object: &str) -> Getting {
        let (objects, object) = (self.clone(), object.to_owned());
        Box::pin(async move {
            match objects.get(&object).await {
                Ok(content) => Ok(Some(content)),
                Err(Error::Missing { .. }) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::open(dir.path().join("new").to_str().unwrap()).unwrap();
        assert!(
            objects
                .put("a/b/one", Bytes::from_static(b"1"))
                .await
                .unwrap()
        );
        assert!(
            !objects
                .put("a/b/one", Bytes::from_static(b"2"))
                .await
                .unwrap()
        );
        assert!(
            objects
                .put("a/b/0", Bytes::from_static(b"3"))
                .await
                .unwrap()
        );
        assert_eq!(objects.get("a/b/one").await.unwrap(), "1");
        let there = [("a/b/0".to_owned(), 1), ("a/b/one".to_owned(), 1)];
        assert_eq!(objects.list("a/b").await.unwrap(), there.into());
        assert!(objects.list("c").await.unwrap().is_empty());
        let missing = objects.get("a/b/two").await.unwrap_err();
        assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    }

    #[test]
    fn what_is_no_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Objects::open(file.to_str().unwrap()).err().unwrap();
        assert!(
            error.to_string().contains("no place for objects"),
            "{error}"
        );
    }
}
