//! A file for each key, sealed under a key of the region.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ledger_domain::{
    CustomerId, RegionName,
    profile::{CustomerKey, SealedProfile},
};
use replication::world::Entropy;
use serde::{Deserialize, Serialize};

use super::{KeyError, Keys};
use crate::{durable, secrets::hex};

/// Nobody else may read them.
const ONLY_MINE: u32 = 0o600;
const FORMAT: u32 = 1;
/// In every directory of keys, so that one that is not mounted is not taken for one without keys.
const MARKER: &str = "customer-keys.toml";
/// Where files are until they are whole. What a loss of power leaves of a key goes with the key.
const UNFINISHED: &str = "unfinished";

/// Customers' keys in a directory that all nodes of a region reach.
///
/// Each is wrapped: sealed under a wrapping key of the region's secrets, as a profile is under the customer's.
/// The newest wrapping key seals; all of them open, so that it can be changed.
#[derive(Clone)]
pub struct FileKeys(Arc<Directory>);

struct Directory {
    path: PathBuf,
    region: RegionName,
    domain: String,
    /// The newest first.
    wrapping: Vec<CustomerKey>,
    entropy: Arc<dyn Entropy>,
}

/// How many keys there were, and how many of them were wrapped anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Of the region, in the directory.
    pub keys: u64,
    /// That an older wrapping key had sealed.
    pub rewrapped: u64,
}

/// What every directory of keys says of itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    format: u32,
    domain: String,
}

/// A wrapped key as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    format: u32,
    customer: String,
    wrapped_by: String,
    scheme: u32,
    nonce: String,
    key: String,
}

impl FileKeys {
    /// Keys of a region's customers in a directory of its residency domain, sealed under the first of some
    /// wrapping keys.
    pub fn new(
        path: PathBuf,
        region: RegionName,
        domain: String,
        wrapping: Vec<CustomerKey>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self(Arc::new(Directory {
            path,
            region,
            domain,
            wrapping,
            entropy,
        }))
    }

    /// Makes the directory, once. One that is there is left as it is.
    ///
    /// # Errors
    ///
    /// When it is another domain's, or cannot be written.
    pub fn prepare(&self) -> Result<(), KeyError> {
        self.0.prepare()
    }

    /// Seals every key of the region under the newest wrapping key, so that older ones can be taken out of
    /// the secrets.
    ///
    /// # Errors
    ///
    /// When keys cannot be opened or written; all others are done.
    pub fn rewrap(&self) -> Result<Rewrapped, KeyError> {
        self.0.rewrap()
    }

    /// Asks the files where that may block.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Directory) -> Result<T, KeyError> + Send + 'static,
    ) -> Result<T, KeyError> {
        let directory = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&directory)).await;
        asked.unwrap_or_else(|error| {
            Err(KeyError::Io {
                path: self.0.path.clone(),
                cause: io::Error::other(error),
            })
        })
    }
}

#[tonic::async_trait]
impl Keys for FileKeys {
    async fn ready(&self) -> Result<(), KeyError> {
        self.ask(Directory::check).await
    }

    async fn create(
        &self,
        customer: CustomerId,
        fresh: CustomerKey,
    ) -> Result<CustomerKey, KeyError> {
        self.ask(move |keys| keys.create(&customer, &fresh)).await
    }

    async fn get(&self, customer: CustomerId) -> Result<Option<CustomerKey>, KeyError> {
        self.ask(move |keys| keys.get(&customer)).await
    }

    async fn destroy(&self, customer: CustomerId) -> Result<(), KeyError> {
        self.ask(move |keys| keys.destroy(&customer)).await
    }
}

impl Directory {
    fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    fn unfinished(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    fn prepare(&self) -> Result<(), KeyError> {
        let path = self.marker();
        let marker = Marker {
            format: FORMAT,
            domain: self.domain.clone(),
        };
        let text = toml::to_string(&marker).map_err(|error| KeyError::Unreadable {
            path: path.clone(),
            why: error.to_string(),
        })?;
        fs::create_dir_all(self.unfinished()).map_err(io_error(&self.path))?;
        match durable::write_new(&path, &text, ONLY_MINE) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => self.check(),
            written => written.map_err(io_error(&path)),
        }
    }

    /// Whether this is the directory that was prepared.
    fn check(&self) -> Result<(), KeyError> {
        let path = self.marker();
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::NotPrepared { path });
            }
            text => text.map_err(io_error(&path))?,
        };
        let marker: Option<Marker> = toml::from_str(&text).ok();
        match marker.filter(|it| it.format == FORMAT) {
            Some(marker) if marker.domain == self.domain => Ok(()),
            Some(Marker { domain: theirs, .. }) => Err(KeyError::OtherDomain {
                path,
                theirs,
                ours: self.domain.clone(),
            }),
            None => Err(KeyError::Unreadable {
                path,
                why: format!("this program reads directories of keys of format {FORMAT}"),
            }),
        }
    }

    /// The name of a customer's key. It tells nobody who that is.
    fn name(customer: &CustomerId) -> String {
        format!("{}-{}.key", customer.region(), hex(customer.body()))
    }

    /// Whether a file has the name of a key of this region. The name of another can begin as its does.
    fn is_ours(&self, name: &str) -> bool {
        let body = name.strip_suffix(".key");
        let body = body.and_then(|it| it.strip_prefix(self.region.as_str())?.strip_prefix('-'));
        body.is_some_and(|it| !it.contains('-'))
    }

    fn file(&self, customer: &CustomerId) -> PathBuf {
        self.path.join(Self::name(customer))
    }

    fn create(&self, customer: &CustomerId, fresh: &CustomerKey) -> Result<CustomerKey, KeyError> {
        if let Some(key) = self.get(customer)? {
            return Ok(key);
        }
        let text = self.wrap(customer, fresh)?;
        let path = self.file(customer);
        match durable::write_first(&path, &self.unfinished(), &text, ONLY_MINE) {
            // Somebody else's was the first.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            written => written.map_err(io_error(&path))?,
        }
        let key = self.get(customer)?;
        key.ok_or_else(|| KeyError::Unreadable {
            path,
            why: "it was made, and is not there".to_owned(),
        })
    }

    fn get(&self, customer: &CustomerId) -> Result<Option<CustomerKey>, KeyError> {
        self.check()?;
        let path = self.file(customer);
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(io_error(&path))?,
        };
        let (whose, key, _) = self.unwrap(&path, &text)?;
        match whose == *customer {
            true => Ok(Some(key)),
            false => Err(KeyError::Unreadable {
                path,
                why: "it is another customer's".to_owned(),
            }),
        }
    }

    fn destroy(&self, customer: &CustomerId) -> Result<(), KeyError> {
        self.check()?;
        let (path, name) = (self.file(customer), Self::name(customer));
        let mut was_there = remove(&path)?;
        let unfinished = self.unfinished();
        for entry in fs::read_dir(&unfinished).map_err(io_error(&unfinished))? {
            let entry = entry.map_err(io_error(&unfinished))?;
            if entry.file_name().to_string_lossy().starts_with(&name) {
                was_there |= remove(&entry.path())?;
            }
        }
        // Whoever was about to finish one may have done so meanwhile, and nobody can any more.
        was_there |= remove(&path)?;
        if !was_there {
            return Ok(());
        }
        for directory in [&self.path, &unfinished] {
            let synced = File::open(directory).and_then(|it| it.sync_all());
            synced.map_err(io_error(directory))?;
        }
        Ok(())
    }

    fn wrap(&self, customer: &CustomerId, key: &CustomerKey) -> Result<String, KeyError> {
        let mut nonce = [0; 24];
        self.entropy.fill(&mut nonce);
        let sealed = self.wrapping.first().and_then(|wrapping| {
            let sealed = wrapping.seal(customer, key.secret(), nonce);
            sealed.ok()
        });
        let sealed = sealed.ok_or(KeyError::None)?;
        let wrapped = Wrapped {
            format: FORMAT,
            customer: customer.to_string(),
            wrapped_by: hex(&sealed.key_id),
            scheme: sealed.scheme,
            nonce: hex(&sealed.nonce),
            key: hex(&sealed.ciphertext),
        };
        toml::to_string(&wrapped).map_err(|error| KeyError::Unreadable {
            path: self.file(customer),
            why: error.to_string(),
        })
    }

    /// A key out of its file, and whether the newest wrapping key has sealed it.
    fn unwrap(&self, path: &Path, text: &str) -> Result<(CustomerId, CustomerKey, bool), KeyError> {
        let unreadable = |why: &str| KeyError::Unreadable {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let no_key = || unreadable("this is not the file of a customer's key");
        let wrapped: Wrapped = toml::from_str(text).map_err(|_| no_key())?;
        if wrapped.format != FORMAT {
            let why = format!(
                "it has format {}; this program knows {FORMAT}",
                wrapped.format
            );
            return Err(unreadable(&why));
        }
        let customer: CustomerId = wrapped.customer.parse().map_err(|_| no_key())?;
        let sealed = SealedProfile {
            key_id: bytes_of(&wrapped.wrapped_by).ok_or_else(no_key)?,
            scheme: wrapped.scheme,
            nonce: bytes_of(&wrapped.nonce).ok_or_else(no_key)?,
            ciphertext: Bytes::from(unhex(&wrapped.key).ok_or_else(no_key)?),
        };
        let place = self.wrapping.iter().position(|it| it.id() == sealed.key_id);
        let place = place.ok_or_else(|| {
            unreadable("it is sealed under a wrapping key that the secrets do not have")
        })?;
        let secret = self.wrapping[place].open(&customer, &sealed);
        let secret = secret.map_err(|error| unreadable(&error.to_string()))?;
        let secret = secret.try_into().map_err(|_| no_key())?;
        Ok((customer, CustomerKey::new(secret), place == 0))
    }

    fn rewrap(&self) -> Result<Rewrapped, KeyError> {
        self.check()?;
        let (mut done, mut failures) = (Rewrapped::default(), Vec::new());
        for entry in fs::read_dir(&self.path).map_err(io_error(&self.path))? {
            let entry = entry.map_err(io_error(&self.path))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !self.is_ours(&name) {
                continue;
            }
            if let Err(failure) = self.rewrap_one(&entry.path(), &mut done) {
                failures.push(failure);
            }
        }
        match failures.is_empty() {
            true => Ok(done),
            false => Err(KeyError::NotRewrapped { done, failures }),
        }
    }

    fn rewrap_one(&self, path: &Path, done: &mut Rewrapped) -> Result<(), KeyError> {
        let text = match fs::read_to_string(path) {
            // It was destroyed meanwhile.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text.map_err(io_error(path))?,
        };
        let (customer, key, is_newest) = self.unwrap(path, &text)?;
        done.keys += 1;
        if is_newest {
            return Ok(());
        }
        let text = self.wrap(&customer, &key)?;
        match durable::replace(path, &self.unfinished(), &text, ONLY_MINE) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            replaced => {
                replaced.map_err(io_error(path))?;
                done.rewrapped += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FileKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKeys({})", self.0.path.display())
    }
}

/// Removes a file. Returns whether it was there.
fn remove(path: &Path) -> Result<bool, KeyError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(io_error(path)),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |cause| KeyError::Io { path, cause }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|it| it.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    digits.map(byte).collect()
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text)?.try_into().ok()
}

#[cfg(test)]
mod tests;
