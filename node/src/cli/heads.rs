//! `meridian heads`: signed heads, in the form that `meridian verify --heads` reads.

use serde_json::json;

use super::exit::{self, Failure};
use super::output::{Output, served_by, served_by_json};
use crate::api::admin::v1::{Comparison, HeadsReply, SignedHead};
use crate::client::Client;
use crate::secrets::hex;

pub async fn heads(client: &Client) -> Result<Output, Failure> {
    let reply = client.heads().await?;
    let differs = |head: &SignedHead| head.comparison() == Comparison::Differs;
    Ok(Output {
        text: text(&reply),
        json: json(&reply),
        exit_code: match reply.heads.iter().any(differs) {
            true => exit::DIFFERS,
            false => exit::OK,
        },
    })
}

fn text(reply: &HeadsReply) -> String {
    let mut text = format!(
        "Heads that {} knows (shard, index, head, region, signature):\n",
        served_by(&reply.served_by)
    );
    for head in &reply.heads {
        let (digits, signature) = (hex(&head.head), hex(&head.signature));
        if head.comparison() == Comparison::Differs {
            text.push_str("ANOTHER HISTORY than this node's own:\n");
        }
        text.push_str(&format!(
            "{} {} {digits} {} {signature}\n",
            head.shard, head.index, head.region
        ));
    }
    text
}

fn json(reply: &HeadsReply) -> serde_json::Value {
    json!({
        "served_by": served_by_json(&reply.served_by),
        "heads": reply.heads.iter().map(|head| json!({
            "shard": head.shard,
            "index": head.index,
            "head": hex(&head.head),
            "region": head.region,
            "signature": hex(&head.signature),
            "comparison": head.comparison().as_str_name().trim_start_matches("COMPARISON_"),
        })).collect::<Vec<_>>(),
    })
}
