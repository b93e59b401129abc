//! Real nodes, most of them in the test's own process, and everything that they promise: one binary,
//! because linking one takes longer than most of the tests in it.

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../failover/processes.rs"]
mod processes;
mod running;
mod s3;
mod stopped;
mod tools;

mod archive;
mod backup;
mod backup_s3;
mod bad_input;
mod books;
mod client_discovery;
mod client_retries;
mod clocks;
mod command_line;
mod conditions;
mod consumers;
mod consumers_resumed;
mod customers;
mod days;
mod declined;
mod events;
mod events_resumed;
mod export;
mod formats;
mod freezes;
mod full_disk;
mod groups;
mod holds;
mod import;
mod integrity;
mod journals;
mod metrics;
mod no_known_bugs;
mod one_node;
mod overload;
mod past;
mod personal_data;
mod privileges;
mod reads;
mod references;
mod replicas;
mod returning;
mod reversals;
mod settlement;
mod spending;
mod statements;
mod stopping;
mod submission;
mod suspense;
mod together;
mod verify;
mod verify_command;
mod views;
mod watch;
mod watch_customer;
mod watch_limits;
mod why_stale;
