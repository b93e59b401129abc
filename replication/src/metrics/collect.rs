use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ledger_domain::{HouseCode, RegionName, ShardId};
use tokio::time::Instant;

use super::{Metric, Page, Series};
use crate::copy::ShardCopy;
use crate::log::{ArchivedSegment, LogHub};
use crate::raft::{GroupMetrics, Role};
use crate::shard::Shard;
use crate::view::{Views, Watermark};

/// Where this crate's metrics are read from.
pub struct Sources<'a> {
    /// The log.
    pub hub: &'a LogHub,
    /// The shards that vote here.
    pub shards: &'a BTreeMap<ShardId, Shard>,
    /// The shards that are copied here.
    pub copies: &'a BTreeMap<ShardId, ShardCopy>,
    /// The read models of both.
    pub views: &'a Views,
    /// In which region a shard is at home.
    pub home: &'a dyn Fn(ShardId) -> Option<RegionName>,
    /// This node's clock, in nanoseconds since 1970.
    pub wall_nanos: u64,
    /// When the node started.
    pub started: Instant,
}

/// A view, the log or copy under it, and how far each goes.
struct View {
    shard: ShardId,
    home: String,
    held: u64,
    /// `None` where it has stopped.
    watermark: Option<Option<Watermark>>,
}

impl Sources<'_> {
    /// Writes every metric that this crate declares.
    pub fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        self.log(page)?;
        self.archive(page)?;
        let groups: Vec<_> = self
            .shards
            .iter()
            .map(|(id, shard)| (*id, shard, shard.group().metrics()))
            .collect();
        raft(page, &groups)?;
        self.writer(page)?;
        channels(page, &groups)?;
        self.copies(page)?;
        self.views(page)
    }

    fn log(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = self.hub.counts();
        page.counter(&super::LOG_BATCHES, counts.batches.get())?;
        page.counter(&super::LOG_RECORDS, self.hub.durable_records())?;
        page.counter(&super::LOG_WRITTEN_BYTES, counts.bytes.get())?;
        page.counter(&super::LOG_SYNCS, counts.syncs.get())?;
        page.metric(&super::LOG_SYNC_SECONDS, |series| {
            series.histogram([], &counts.sync_seconds)
        })?;
        page.gauge(&super::LOG_QUEUE, self.hub.waiting())?;
        page.gauge(&super::LOG_WRITABLE, u32::from(self.hub.is_writable()))
    }

    fn archive(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = self.hub.shelf().counts();
        page.counter(&super::LOG_READ_RECORDS, self.hub.read_records())?;
        page.counter(&super::ARCHIVE_READ_RECORDS, counts.records.get())?;
        page.metric(&super::ARCHIVE_OBJECTS, |series| {
            series.counter([&"whole"], counts.fetched.get())?;
            series.counter([&"damaged"], counts.damaged.get())?;
            series.counter([&"not_reached"], counts.not_reached.get())
        })?;
        let here = self.shards.keys().chain(self.copies.keys());
        let here: Vec<_> = here
            .map(|id| (*id, self.hub.archived(id.0).unwrap_or_default()))
            .collect();
        let gauge = |page: &mut Page<'_>, metric, of: fn(&ArchivedSegment) -> u64| {
            page.metric(metric, |series| {
                let mut here = here.iter();
                here.try_for_each(|(id, segments)| {
                    let all = segments.iter().map(|segment| of(segment));
                    series.gauge([id], all.sum::<u64>())
                })
            })
        };
        gauge(page, &super::ARCHIVE_AT_REST, |it| it.segment.bytes)?;
        gauge(page, &super::ARCHIVE_RECORDS, |it| it.segment.record_bytes)?;
        gauge(page, &super::ARCHIVE_OUTCOMES, |it| it.outcomes)?;
        gauge(page, &super::ARCHIVE_END, |it| {
            it.segment.last + 1 - it.segment.first
        })
    }

    fn writer(&self, page: &mut Page<'_>) -> fmt::Result {
        page.metric(&super::WRITER_ENTRIES, |series| {
            self.each_shard(series, |series, id, shard| {
                let counts = shard.counts();
                series.counter([id, &"outcomes"], counts.entries.get())?;
                series.counter([id, &"none"], counts.empty_entries.get())
            })
        })?;
        page.metric(&super::WRITER_OUTCOMES, |series| {
            self.each_shard(series, |series, id, shard| {
                let counts = shard.counts();
                series.counter([id, &"accepted"], counts.accepted.get())?;
                series.counter([id, &"rejected"], counts.rejected.get())?;
                series.counter([id, &"channel"], counts.channel.get())?;
                series.counter([id, &"expiry"], counts.expiry.get())
            })
        })?;
        page.metric(&super::WRITER_BATCH, |series| {
            self.each_shard(series, |series, id, shard| {
                series.histogram([id], &shard.counts().batch)
            })
        })?;
        page.metric(&super::WRITER_COMMIT_SECONDS, |series| {
            self.each_shard(series, |series, id, shard| {
                series.histogram([id], &shard.counts().commit_seconds)
            })
        })?;
        page.metric(&super::WRITER_IN_FLIGHT, |series| {
            self.each_shard(series, |series, id, shard| {
                series.gauge([id], shard.counts().in_flight())
            })
        })?;
        page.metric(&super::WRITER_QUEUE, |series| {
            self.each_shard(series, |series, id, shard| {
                series.gauge([id], shard.waiting())
            })
        })?;
        page.metric(&super::WRITER_RESTARTS, |series| {
            self.each_shard(series, |series, id, shard| {
                series.counter([id], shard.counts().restarts.get())
            })
        })?;
        page.metric(&super::BOOK_STOPPED, |series| {
            self.each_shard(series, |series, id, shard| {
                series.gauge([id], u32::from(shard.failure().is_some()))
            })
        })?;
        page.metric(&super::CHANNEL_STOPPED, |series| {
            self.each_shard(series, |series, id, shard| {
                let stopped = shard.inbox().stopped();
                let mut peers = stopped.keys();
                peers.try_for_each(|peer| series.gauge([id, peer], 1_u32))
            })
        })
    }

    fn each_shard(
        &self,
        series: &mut Series<'_>,
        write: impl Fn(&mut Series<'_>, &ShardId, &Shard) -> fmt::Result,
    ) -> fmt::Result {
        let mut shards = self.shards.iter();
        shards.try_for_each(|(id, shard)| write(series, id, shard))
    }

    fn copies(&self, page: &mut Page<'_>) -> fmt::Result {
        let copies: Vec<_> = self
            .copies
            .iter()
            .map(|(id, copy)| {
                let status = copy.status().borrow().clone();
                (*id, self.home(*id), *copy.copied().borrow(), status)
            })
            .collect();
        page.metric(&super::COPY_INDEX, |series| {
            let mut copies = copies.iter();
            copies.try_for_each(|(id, home, copied, _)| series.gauge([id, home], *copied))
        })?;
        page.metric(&super::COPY_LAG, |series| {
            copies.iter().try_for_each(|(id, home, copied, status)| {
                let missing = status.home_applied.saturating_sub(*copied);
                series.gauge([id, home], missing)
            })
        })?;
        page.metric(&super::COPY_SILENCE_SECONDS, |series| {
            copies.iter().try_for_each(|(id, home, _, status)| {
                let heard = status.last_heard.unwrap_or(self.started);
                series.gauge([id, home], heard.elapsed().as_secs_f64())
            })
        })?;
        page.metric(&super::COPY_RECEIVED_BYTES, |series| {
            self.copies.iter().try_for_each(|(id, copy)| {
                let (home, received) = (self.home(*id), copy.received());
                series.counter([id, &home, &"across"], received.across.get())?;
                series.counter([id, &home, &"within"], received.within.get())
            })
        })?;
        page.metric(&super::COPY_HEARS_HOME, |series| {
            copies.iter().try_for_each(|(id, home, _, status)| {
                series.gauge([id, home], u32::from(status.hears_home()))
            })
        })?;
        page.metric(&super::COPY_HALTED, |series| {
            copies.iter().try_for_each(|(id, home, _, status)| {
                series.gauge([id, home], u32::from(status.halt.is_some()))
            })
        })
    }

    fn views(&self, page: &mut Page<'_>) -> fmt::Result {
        let at_home = self
            .shards
            .iter()
            .map(|(id, shard)| (*id, shard.group().applied()));
        let copied = self.copies.iter();
        let copied = copied.map(|(id, copy)| (*id, *copy.copied().borrow()));
        let views: Vec<_> = at_home
            .chain(copied)
            .map(|(shard, held)| View {
                shard,
                home: self.home(shard),
                held,
                watermark: self.views.watermark(shard).ok(),
            })
            .collect();
        let index = |view: &View| view.watermark.flatten().map_or(0, |w| w.position.index);
        page.metric(&super::VIEW_INDEX, |series| {
            let mut views = views.iter();
            views.try_for_each(|view| series.gauge([&view.shard, &view.home], index(view)))
        })?;
        page.metric(&super::VIEW_LAG, |series| {
            views.iter().try_for_each(|view| {
                let missing = view.held.saturating_sub(index(view));
                series.gauge([&view.shard, &view.home], missing)
            })
        })?;
        page.metric(&super::VIEW_WATERMARK_LAG_SECONDS, |series| {
            views.iter().try_for_each(|view| {
                // A view without a watermark is complete up to no time, and has no age.
                let Some(watermark) = view.watermark.flatten() else {
                    return Ok(());
                };
                let nanos = self.wall_nanos.saturating_sub(watermark.time.wall_nanos);
                let age = Duration::from_nanos(nanos).as_secs_f64();
                series.gauge([&view.shard, &view.home], age)
            })
        })?;
        page.metric(&super::VIEW_STOPPED, |series| {
            views.iter().try_for_each(|view| {
                let stopped = u32::from(view.watermark.is_none());
                series.gauge([&view.shard, &view.home], stopped)
            })
        })
    }

    fn home(&self, shard: ShardId) -> String {
        (self.home)(shard).map_or_else(String::new, |region| region.to_string())
    }
}

type Groups<'a> = [(ShardId, &'a Shard, GroupMetrics)];

fn raft(page: &mut Page<'_>, groups: &Groups<'_>) -> fmt::Result {
    page.metric(&super::RAFT_LEADER, |series| {
        groups.iter().try_for_each(|(id, _, metrics)| {
            series.gauge([id], u32::from(metrics.role == Role::Leader))
        })
    })?;
    page.metric(&super::RAFT_IN_QUORUM, |series| {
        let mut groups = groups.iter();
        groups
            .try_for_each(|(id, shard, _)| series.gauge([id], u32::from(shard.group().in_quorum())))
    })?;
    page.metric(&super::RAFT_LEADER_CHANGES, |series| {
        let mut groups = groups.iter();
        groups.try_for_each(|(id, shard, _)| series.counter([id], shard.group().leader_changes()))
    })?;
    page.metric(&super::RAFT_TERM, |series| {
        let mut groups = groups.iter();
        groups.try_for_each(|(id, _, metrics)| series.gauge([id], metrics.term.term))
    })?;
    index(page, &super::RAFT_LAST_INDEX, groups, |m| m.last_log)?;
    index(page, &super::RAFT_COMMITTED_INDEX, groups, |m| m.committed)?;
    index(page, &super::RAFT_APPLIED_INDEX, groups, |m| m.applied)?;
    page.metric(&super::RAFT_REPLICATION_LAG, |series| {
        for (id, shard, metrics) in groups {
            let last = metrics.last_log.unwrap_or_default();
            let peers = metrics.matched.iter();
            for (peer, matched) in peers.filter(|(peer, _)| **peer != shard.group().node_id()) {
                let missing = last.saturating_sub(matched.unwrap_or_default());
                series.gauge([id, peer], missing)?;
            }
        }
        Ok(())
    })
}

fn index(
    page: &mut Page<'_>,
    metric: &'static Metric,
    groups: &Groups<'_>,
    of: impl Fn(&GroupMetrics) -> Option<u64>,
) -> fmt::Result {
    page.metric(metric, |series| {
        let mut groups = groups.iter();
        groups.try_for_each(|(id, _, now)| series.gauge([id], of(now).unwrap_or_default()))
    })
}

/// Told by leaders alone, so that a sum over nodes counts nothing twice.
fn channels(page: &mut Page<'_>, groups: &Groups<'_>) -> fmt::Result {
    let led = |(_, _, metrics): &&(_, _, GroupMetrics)| metrics.role == Role::Leader;
    page.metric(&super::CHANNEL_ITEMS, |series| {
        for (id, shard, _) in groups.iter().filter(led) {
            let channels: Vec<_> = shard.book().channels_out().collect();
            for (peer, head) in channels {
                series.gauge([id, &peer], head.under_way)?;
            }
        }
        Ok(())
    })?;
    page.metric(&super::CHANNEL_MONEY, |series| {
        for (id, shard, _) in groups.iter().filter(led) {
            // What is in transit stands in the book as a sum: no item has to be looked at.
            let book = shard.book();
            let in_transit = book
                .houses()
                .filter_map(|(code, currency, balance)| match code {
                    HouseCode::InTransit(peer) => Some((*peer, currency, balance)),
                    _ => None,
                });
            let money: Vec<_> = in_transit.collect();
            drop(book);
            for (peer, currency, balance) in money {
                series.gauge([id, &peer, &currency], balance)?;
            }
        }
        Ok(())
    })
}
