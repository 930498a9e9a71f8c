//! Another machine over SSH, against a real sshd on the loopback interface.
//!
//! Each test has servers, keys and configuration of its own in a folder of its own ([`site::Site`]), and works as root and as a
//! plain user: whoever runs it logs in as himself. To add a test, take a site, change its files, and open a session.

mod certificates;
mod failures;
mod host_keys;
mod hostile;
mod login;
mod programs;
mod routes;
mod server;
mod site;
