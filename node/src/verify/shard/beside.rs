//! What stands beside a shard's log and must agree with it: its newest snapshot, the places that other
//! snapshots name in it, and the heads that its home has told.

use super::{Run, Walk};
use crate::verify::finding::Part;
use crate::verify::snapshot::{self, Computed};
use crate::verify::stored::{Hash, hex, peer};

impl Walk<'_, '_> {
    /// What stands beside the log.
    pub(super) fn markers(&mut self) {
        let Run {
            engine, findings, ..
        } = &mut *self.run;
        self.markers.check_missing(self.shard, findings);
        let newest = self.markers.snapshot.as_ref();
        self.report.snapshot = newest.and_then(snapshot::index);
        let checked = snapshot::check_chunks(*engine, self.shard, newest, findings);
        if let Err(error) = checked {
            findings.add(self.shard, None, Part::Store, error.to_string());
        }
        let marked = newest.map(|it| snapshot::check_marker(self.shard, it, None));
        let beyond = || "it names an index beyond the end of the log".to_owned();
        let within = self.report.snapshot < Some(self.markers.end());
        let marked = marked.map(|it| it.and_then(|()| within.then_some(()).ok_or_else(beyond)));
        if let Some(Err(what)) = marked {
            let index = self.report.snapshot;
            self.wrong(index, Part::Marker("snapshot"), what);
        }
        self.bookmarks(0);
        let signers = self.run.signers;
        let unsigned = self
            .markers
            .told
            .iter()
            .filter(|it| signers.is_some_and(|s| !s.signed(it)));
        for told in unsigned {
            let what = format!("{} has not signed it", told.region);
            self.run
                .findings
                .add(self.shard, told.index, Part::Told, what);
        }
        let told = self.markers.told.iter().map(|told| told.index).max();
        self.report.told_beyond = told.filter(|index| *index >= self.markers.end());
    }

    /// Lays a head beside those that the shard's home has signed.
    pub(super) fn told(&mut self, index: u64, computed: Hash) {
        for told in self.markers.told.iter().filter(|told| told.index == index) {
            self.report.told_compared += 1;
            if told.head != computed {
                let what = format!(
                    "{} has signed {}, and the log comes to {}",
                    told.region,
                    hex(&told.head),
                    hex(&computed)
                );
                self.run.findings.add(self.shard, index, Part::Told, what);
            }
        }
    }

    /// Where the log has arrived at the snapshot's index, the two are compared.
    pub(super) fn snapshot(&mut self, index: u64, record: Option<&peer::LogId>) {
        let Some(newest) = self.markers.snapshot.as_ref() else {
            return;
        };
        if self.report.snapshot != Some(index) {
            return;
        }
        if record.is_some()
            && let Err(what) = snapshot::check_marker(self.shard, newest, record)
        {
            self.wrong(index, Part::Marker("snapshot"), what);
        }
        let computed = Computed {
            shard: self.shard,
            index,
            audited: self.audited.head(),
            state: (!self.lost).then_some((&self.state, &self.writers)),
        };
        snapshot::compare(self.run.engine, newest, &computed, self.run.findings);
    }

    /// Compares with the places that snapshots of other shards name, before an index.
    pub(super) fn bookmarks(&mut self, next: u64) {
        let Some(last) = self.writers.last() else {
            return;
        };
        for it in self.run.bookmarks {
            if (it.shard, it.next) == (self.shard, next) && (it.head, it.time) != last {
                let (by, index) = it.by;
                let what = format!(
                    "it says that shard {} had the writer's head {} before index {next}, and has {}",
                    it.shard,
                    hex(&it.head),
                    hex(&last.0)
                );
                self.run.findings.add(by, index, Part::Snapshot, what);
            }
        }
    }
}
