//! The standard health service: the node as a whole, and each public service by its name.

use std::time::Duration;

use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{observer::Observer, readiness::Part};
use crate::api::{
    admin::v1::admin_server::AdminServer, atm::v1::atm_server::AtmServer,
    teller::v1::teller_server::TellerServer,
};

/// How often it is looked whether anything has changed.
const EVERY: Duration = Duration::from_millis(250);

/// The empty name stands for the node as a whole.
fn name(part: Part) -> &'static str {
    match part {
        Part::Node => "",
        Part::Teller => TellerServer::<()>::NAME,
        Part::Atm => AtmServer::<()>::NAME,
        Part::Admin => AdminServer::<()>::NAME,
    }
}

/// Tells everyone who asks or watches that nothing is served.
pub(super) async fn set_not_serving(health: &HealthReporter) {
    for part in Part::ALL {
        let status = ServingStatus::NotServing;
        health.set_service_status(name(part), status).await;
    }
}

/// Tells of every change, for as long as this is polled.
pub(super) async fn follow(health: HealthReporter, observer: &Observer) {
    let mut told = [false; Part::ALL.len()];
    loop {
        let obstacles = observer.obstacles();
        let now = Part::ALL.map(|part| !obstacles.iter().any(|o| o.is_in_the_way_of(part)));
        for ((part, now), told) in Part::ALL.into_iter().zip(now).zip(&mut told) {
            if *told != now {
                *told = now;
                let status = match now {
                    true => ServingStatus::Serving,
                    false => ServingStatus::NotServing,
                };
                health.set_service_status(name(part), status).await;
                let lacks = obstacles.iter().filter(|o| o.is_in_the_way_of(part));
                let missing: Vec<_> = lacks.map(ToString::to_string).collect();
                tracing::info!(
                    part = part.name(),
                    ready = now,
                    ?missing,
                    "readiness has changed"
                );
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Ends what everyone watches.
pub(super) async fn clear(health: &mut HealthReporter) {
    for part in Part::ALL {
        health.clear_service_status(name(part)).await;
    }
}
