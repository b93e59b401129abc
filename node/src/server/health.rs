//! The standard health service: the node as a whole, and each public service by its name.

use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::api::{
    admin::v1::admin_server::AdminServer, atm::v1::atm_server::AtmServer,
    teller::v1::teller_server::TellerServer,
};

/// The empty name stands for the node as a whole.
const NAMES: [&str; 4] = [
    "",
    TellerServer::<()>::NAME,
    AtmServer::<()>::NAME,
    AdminServer::<()>::NAME,
];

/// Tells everyone who asks or watches.
pub(super) async fn set(health: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Ends what everyone watches.
pub(super) async fn clear(health: &mut HealthReporter) {
    for name in NAMES {
        health.clear_service_status(name).await;
    }
}
