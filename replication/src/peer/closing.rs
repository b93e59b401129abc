use std::sync::Arc;

use tokio::sync::watch;

/// The end of what a node serves to its peers: said once, heard by all clones.
#[derive(Clone, Default)]
pub(crate) struct Closing(Arc<watch::Sender<bool>>);

impl Closing {
    /// Says it. Streams that listen end; nothing is begun any more.
    pub(crate) fn close(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when it is said.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let closing = self.0.clone();
        async move {
            // The sender is held here, so the wait ends with the word and no other way.
            let _ = closing.subscribe().wait_for(|closed| *closed).await;
        }
    }
}
