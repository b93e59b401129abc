//! Read models beside each other.

use std::ops::RangeInclusive;

use super::super::generations::ReadModels;
use super::super::{CannotBuild, rows::Label, stored};
use super::*;

const SOON: Duration = Duration::from_secs(30);

/// The read models of a node that folds them as far as `served` lets it.
struct Kept {
    models: ReadModels,
    served: watch::Sender<u64>,
    tasks: tokio::task::JoinSet<()>,
}

impl Kept {
    fn of(node: &Node, formats: &RangeInclusive<u32>, last: u64) -> Self {
        let models = ReadModels::open_serving(node.disk.clone(), formats).unwrap();
        let (served, receiver) = watch::channel(last);
        let mut tasks = tokio::task::JoinSet::new();
        let folding = models.clone();
        tasks.spawn(folding.follow(SHARD, EPOCH, node.hub.clone(), receiver));
        tasks.spawn(models.clone().keep());
        Self {
            models,
            served,
            tasks,
        }
    }

    async fn reaches(&self, index: u64) {
        let deadline = Instant::now() + SOON;
        let wanted = Position {
            shard: SHARD,
            epoch: EPOCH,
            index,
        };
        loop {
            if let Ok(found) = self.models.serving().wait_for(wanted, deadline).await {
                assert!(found.position.index >= index);
                return;
            }
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until others serve, and lets no answer go back in time meanwhile.
    async fn changes_places(&self) {
        let before = self.models.generation();
        let deadline = Instant::now() + SOON;
        let mut seen = 0;
        while self.models.generation() == before || self.models.building().is_some() {
            assert!(Instant::now() < deadline, "{:?}", self.models.building());
            let found = self.models.serving().watermark(SHARD);
            let index = found.ok().flatten().map_or(seen, |it| it.position.index);
            assert!(index >= seen, "{seen} was seen, and now {index} is");
            seen = index;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As if the process was killed: nothing is stored any more.
    async fn killed(mut self) {
        self.tasks.shutdown().await;
    }
}

fn stores(node: &Node) -> [bool; 2] {
    [Store::Views, Store::ViewsBeside].map(|store| node.disk.has(store))
}

#[tokio::test]
async fn read_models_are_made_again_while_the_old_serve_and_take_their_place() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let last = home.next() - 1;
    let kept = Kept::of(&node, &stored::SERVED, last - 3);
    kept.reaches(last - 3).await;
    let old = kept.models.serving();
    kept.models.rebuild("somebody asked").unwrap();
    let again = kept.models.rebuild("somebody asked twice");
    assert!(matches!(again, Err(CannotBuild::UnderWay)));
    assert!(old.balance(&account(1)).unwrap().is_some());
    kept.changes_places().await;
    assert_eq!(stores(&node), [true, true]);
    let again = kept.models.rebuild("somebody asked once more");
    assert!(matches!(again, Err(CannotBuild::NotGone)));
    // Both are gone on with: who still reads the old ones waits for nothing that does not come.
    kept.served.send_replace(last);
    kept.reaches(last).await;
    let wanted = Position {
        shard: SHARD,
        epoch: EPOCH,
        index: last,
    };
    old.wait_for(wanted, Instant::now() + SOON).await.unwrap();
    assert_equals_naive_fold(&old, &home);
    assert_equals_naive_fold(&kept.models.serving(), &home);
    drop(old);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let deadline = Instant::now() + SOON;
    while stores(&node) != [false, true] {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kept.models.rebuild("there is room again").unwrap();
    kept.changes_places().await;
    assert_equals_naive_fold(&kept.models.serving(), &home);
}

#[tokio::test]
async fn what_is_half_made_when_a_node_dies_is_gone_on_with() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let last = home.next() - 1;
    let kept = Kept::of(&node, &stored::SERVED, last);
    kept.reaches(last).await;
    // Nothing is folded into the new ones before the node dies.
    kept.models.rebuild("somebody asked").unwrap();
    kept.killed().await;
    let kept = Kept::of(&node, &stored::SERVED, last);
    assert_eq!(kept.models.generation(), 0);
    let building = kept.models.building().expect("it is gone on with");
    assert_eq!(building.stopped.len(), 0);
    kept.changes_places().await;
    assert_eq!(kept.models.generation(), 1);
    assert_equals_naive_fold(&kept.models.serving(), &home);
    kept.killed().await;
    // The newest serve, and the others are wiped at once.
    let kept = Kept::of(&node, &stored::SERVED, last);
    assert_eq!(kept.models.generation(), 1);
    assert_eq!(stores(&node), [false, true]);
    kept.reaches(last).await;
    assert_equals_naive_fold(&kept.models.serving(), &home);
}

#[tokio::test]
async fn what_an_older_program_wrote_serves_until_it_is_made_again() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let last = home.next() - 1;
    drop(node.folded(last).await);
    let relabel = |format| {
        let label = Label {
            format,
            ..Label::whole(0)
        };
        let put = Op::Put(keys::FORMAT.to_vec(), stored::seal_label(&label));
        node.engine().write(vec![put], Durability::Later).unwrap();
    };
    relabel(stored::FORMAT - 1);
    let can_serve_both = stored::FORMAT - 1..=stored::FORMAT;
    let kept = Kept::of(&node, &can_serve_both, last);
    let why = kept.models.building().unwrap().why;
    assert!(
        why.contains(&format!("format {}", stored::FORMAT - 1)),
        "{why}"
    );
    // At once, before anything was folded.
    assert_equals_naive_fold(&kept.models.serving(), &home);
    kept.changes_places().await;
    assert_equals_naive_fold(&kept.models.serving(), &home);
    kept.killed().await;

    // What cannot be served is wiped, and made again in its place.
    node.disk.wipe(Store::Views).unwrap();
    node.disk.wipe(Store::ViewsBeside).unwrap();
    drop(node.folded(last).await);
    relabel(stored::SERVED.start() - 1);
    let kept = Kept::of(&node, &stored::SERVED, last);
    assert_eq!(kept.models.building(), None);
    kept.reaches(last).await;
    assert_equals_naive_fold(&kept.models.serving(), &home);
}

#[tokio::test]
async fn damaged_rows_are_made_again_by_themselves() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let last = home.next() - 1;
    drop(node.folded(last).await);
    let key = keys::opening(&account(1));
    let rows = node.engine();
    let mut stored = rows.get(&key).unwrap().unwrap().to_vec();
    *stored.last_mut().unwrap() ^= 4;
    let spoil = Op::Put(key, stored.into());
    rows.write(vec![spoil], Durability::Later).unwrap();
    drop(rows);

    let kept = Kept::of(&node, &stored::SERVED, last);
    kept.reaches(last).await;
    let error = kept.models.serving().opening(&account(1)).unwrap_err();
    assert!(matches!(error, ReadError::Stopped { .. }), "{error}");
    kept.changes_places().await;
    let opening = kept.models.serving().opening(&account(1)).unwrap();
    assert!(opening.is_some());
    assert_equals_naive_fold(&kept.models.serving(), &home);
}

/// A log that cannot be read serves nobody: what is made of it does not take the place of what serves.
#[tokio::test]
async fn what_cannot_be_made_does_not_take_the_place_of_what_serves() {
    let home = ScriptedHome::eventful(SHARD.0);
    let Node { dir, disk, hub } = Node::holding(&home).await;
    let last = home.next() - 1;
    let purged = hub.read(SHARD.0, 4..5, usize::MAX).unwrap()[0].id;
    let node = Node { dir, disk, hub };
    drop(node.folded(last).await);
    let Node { dir, disk, hub } = node;
    drop(hub);
    let log = disk.open(Store::Log).unwrap();
    let skipped = skip(SHARD.0, 2..5, purged);
    log.write(skipped, Durability::Synced).unwrap();
    let hub = LogHub::open(log).unwrap();
    let node = Node { dir, disk, hub };

    let kept = Kept::of(&node, &stored::SERVED, last);
    kept.models.rebuild("somebody asked").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let building = kept.models.building().expect("it waits");
    assert_eq!(building.next.get(&SHARD), Some(&2));
    assert_eq!(kept.models.generation(), 0);
    assert_equals_naive_fold(&kept.models.serving(), &home);
    let skipped = home.records[2..5].to_vec();
    node.hub.fill(SHARD.0, skipped).await.unwrap();
    kept.changes_places().await;
    assert_equals_naive_fold(&kept.models.serving(), &home);
}
