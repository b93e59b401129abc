//! References in the model, and what must hold of claims.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Code, Event, Outcome, ReferenceDigest, ReferenceType, ShardId,
    reference::Claim, state::State as _,
};

use crate::{
    generate::{account_id, command, numbered},
    model::Model,
    writer::{Answer, Writer},
};

impl Model {
    /// What other accounts have against a claim or a release.
    pub fn against_claim(&self, shard: ShardId, action: &Action, claim: &Claim) -> BTreeSet<Code> {
        let holder = self.references.get(&(shard, claim.digest)).copied();
        let refused = match action {
            Action::ClaimReference { .. } => holder
                .filter(|holder| *holder != claim.account)
                .map(|_| Code::ReferenceTaken),
            _ if holder == Some(claim.account) => None,
            _ => Some(Code::ReferenceNotClaimed),
        };
        refused.into_iter().collect()
    }
}

fn claim(account: AccountId) -> Claim {
    Claim {
        kind: ReferenceType::Iban,
        digest: ReferenceDigest([7; 16]),
        account,
    }
}

#[test]
fn a_reference_stands_for_one_account_until_it_is_released() {
    let [one, other] = [0, 1].map(account_id);
    let place = AccountId::of_reference(one.region(), &claim(one).digest);
    let claims = |account| {
        let claim = claim(account);
        command(Action::ClaimReference { place, claim })
    };
    let releases = |account| {
        let claim = claim(account);
        command(Action::ReleaseReference { place, claim })
    };
    let mut writer = Writer::new(ShardId(1));
    // All in one entry: what is in flight counts.
    let answers = writer.command(numbered([
        releases(one),
        claims(one),
        claims(one),
        claims(other),
        releases(other),
        releases(one),
        claims(other),
    ]));
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(Outcome { result, .. }) => result,
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.map(|it| it.map_err(|refused| refused.code)).collect();
    let claimed = |account| Ok(vec![Event::ReferenceClaimed(claim(account))]);
    assert_eq!(
        told,
        [
            Err(Code::ReferenceNotClaimed),
            claimed(one),
            claimed(one),
            Err(Code::ReferenceTaken),
            Err(Code::ReferenceNotClaimed),
            Ok(vec![Event::ReferenceReleased(claim(one))]),
            claimed(other),
        ]
    );
    writer.apply_all();
    let digest = claim(one).digest;
    assert_eq!(writer.book.reference(&digest), Some(other));
    assert_eq!(writer.book.references(), [(digest, other)]);
    for follows_not in [
        Event::ReferenceClaimed(claim(one)),
        Event::ReferenceReleased(claim(one)),
    ] {
        let mut book = writer.book.clone();
        assert!(ledger_domain::evolve(&mut book, &follows_not).is_err());
        assert_eq!(book.reference(&digest), Some(other));
    }
}

#[test]
fn a_refusal_does_not_say_whose_a_reference_is() {
    let refusal = ledger_domain::Rejection::from(Code::ReferenceTaken);
    assert!(refusal.figures.is_empty());
    assert!(!refusal.to_string().contains("eu-west"));
}
