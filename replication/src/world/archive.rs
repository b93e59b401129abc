use std::{future::Future, io, pin::Pin};

use bytes::Bytes;

/// An object being written.
pub type Putting = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
/// An object being read; `None` where there is none of that name.
pub type Getting = Pin<Box<dyn Future<Output = io::Result<Option<Bytes>>> + Send>>;

/// Where the old part of logs is kept: a store of whole objects, shared by all nodes of a region or of
/// several. Nothing in it is believed before it was looked at.
pub trait Archive: Send + Sync + 'static {
    /// Writes an object, whole or not at all, in the place of one of that name. It is durable when this
    /// resolves.
    fn put(&self, object: &str, content: Bytes) -> Putting;
    /// Reads an object.
    fn get(&self, object: &str) -> Getting;
}
