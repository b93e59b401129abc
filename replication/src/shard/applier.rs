use std::io;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use bytes::Bytes;
use ledger_domain::{
    Book, Hash, ShardId, Verdict,
    chain::{self, LogIdentity, RecordKind},
};
use tokio::sync::watch;

use super::{inbox::Inbox, stored, under_way::UnderWay};
use crate::{
    log::LogHub,
    raft::{Applied, Content, Frozen, Machine, RecordId, Reign, Term},
};

/// Why a book has stopped: from here on nothing is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the book has stopped and serves nothing: {0}")]
pub struct Failure(pub String);

/// Applies committed indexes to the book.
pub(super) struct Applier {
    hub: LogHub,
    book: RwLock<Book>,
    head: Mutex<Hash>,
    reign: watch::Sender<Option<Reign>>,
    failure: watch::Sender<Option<Failure>>,
    under_way: Arc<UnderWay>,
    inbox: Inbox,
}

impl Applier {
    pub(super) fn new(
        shard: ShardId,
        epoch: u64,
        hub: LogHub,
        under_way: Arc<UnderWay>,
        inbox: Inbox,
    ) -> Self {
        Self {
            hub,
            book: RwLock::new(Book::new(shard, epoch)),
            head: Mutex::new(chain::audit_genesis(shard)),
            reign: watch::channel(None).0,
            failure: watch::channel(None).0,
            under_way,
            inbox,
        }
    }

    pub(super) fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book
            .read()
            .expect("nothing panics while it holds the book")
    }

    /// The last reign whose blank entry has been applied here.
    pub(super) fn begun(&self) -> watch::Receiver<Option<Reign>> {
        self.reign.subscribe()
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    fn fail(&self, failure: String) {
        tracing::error!(shard = self.book().shard().0, %failure, "the book has stopped");
        self.failure.send_replace(Some(Failure(failure)));
    }

    fn extend_audited_chain(&self, id: RecordId, kind: RecordKind, payload: &[u8]) {
        let RecordId {
            epoch,
            term,
            node,
            index,
        } = id;
        let mut head = self
            .head
            .lock()
            .expect("nothing panics while it holds the head");
        *head = chain::audit_link(
            &head,
            LogIdentity {
                epoch,
                term,
                node,
                index,
            },
            kind,
            payload,
        );
        let shard = self.book().shard().0;
        self.hub.put_heads(shard, [(index, *head)]);
    }
}

impl Machine for Applier {
    fn apply(&self, id: RecordId, content: Content<'_>) -> Applied {
        if self.failure().is_some() {
            return Applied::Void;
        }
        self.book.write().expect("not poisoned").under(id.epoch);
        let mut verdict = Applied::Accepted;
        let (kind, payload) = match content {
            Content::Blank => {
                self.book.write().expect("not poisoned").skip(id.index);
                (RecordKind::Blank, &[][..])
            }
            Content::Membership(stored) => {
                self.book.write().expect("not poisoned").skip(id.index);
                (RecordKind::Membership, &stored[..])
            }
            Content::Entry(stored) => {
                let applied = self
                    .book
                    .write()
                    .expect("not poisoned")
                    .apply(id.index, stored);
                match applied {
                    Ok(Verdict::Accepted(entry)) => self.under_way.applied(&entry),
                    Ok(Verdict::Void) => verdict = Applied::Void,
                    Err(error) => {
                        self.fail(error.to_string());
                        return Applied::Void;
                    }
                }
                (RecordKind::Entry, &stored[..])
            }
        };
        self.extend_audited_chain(id, kind, payload);
        if matches!(content, Content::Blank) {
            let term = Term {
                epoch: id.epoch,
                term: id.term,
            };
            self.reign.send_replace(Some(Reign {
                term,
                node: id.node,
            }));
        }
        verdict
    }

    fn freeze(&self) -> Box<dyn Frozen> {
        let book = self.book();
        let head = self
            .head
            .lock()
            .expect("nothing panics while it holds the head");
        Box::new(stored::State {
            book: book.clone(),
            audited: *head,
            bookmarks: self.inbox.bookmarks(&book),
        })
    }

    fn restore(
        &self,
        last: RecordId,
        chunks: &mut dyn Iterator<Item = io::Result<Bytes>>,
    ) -> io::Result<()> {
        let shard = self.book().shard();
        let stored::State {
            book,
            audited,
            bookmarks,
        } = stored::read(chunks)?;
        if (book.shard(), book.applied()) != (shard, last.index) {
            let what = format!(
                "it is the book of shard {} at {}",
                book.shard(),
                book.applied()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.hub.put_heads(shard.0, [(last.index, audited)]);
        *self
            .head
            .lock()
            .expect("nothing panics while it holds the head") = audited;
        *self.book.write().expect("not poisoned") = book;
        self.inbox.resume(bookmarks);
        Ok(())
    }
}
