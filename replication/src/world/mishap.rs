/// Something unlikely that may befall a proposal to a shard's log.
///
/// Consensus never promises that it will not: a leader whose hold on its followers lapses for a
/// moment refuses one proposal of several in flight, an answer is lost, a former writer is heard
/// once more. One thread on a fast disk hardly ever sees any of it, so a simulated world asks
/// for it; the real one never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// It is refused, and the proposer learns of it after it has proposed more.
    RefusedLate,
    /// It is decided, and the proposer never learns how.
    AnswerLost,
    /// It arrives twice.
    Twice,
    /// It is followed by an entry of somebody who takes the shard's home to be in another reign.
    AnotherEpoch,
}
