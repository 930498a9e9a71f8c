//! The far end of a connection: the same binary, which answers probes and performs effects for a client elsewhere.
//!
//! ```text
//! client                                    agent, on its standard input and output
//!                                  <──      MAGIC, Hello { protocol, build, process }
//! Request::Capabilities            ──>
//!                                  <──      Reply::Working     every so often while there is no answer yet
//!                                  <──      Reply::Capabilities
//! Request::End { requests }        ──>
//!                                  <──      Reply::Ended { requests }
//! ```
//!
//! A frame is a length in four bytes, big-endian, and as much JSON ([`frame`]). Whatever comes before the magic, such as what
//! a shell prints at login, is an error: a client that skipped it could be led to skip more. What was performed counts as done
//! only once its reply has arrived; a connection that ends without [`Reply::Ended`] has been cut.
//!
//! No text of a topology is part of a command line: programs and files get it as data, from the agent.

mod frame;
mod message;
mod remote;
mod serve;

pub use frame::{FrameError, LIMIT, MAGIC};
pub use message::{Hello, PROTOCOL, Reply, Request, Sent};
pub use remote::{RemoteHost, Transport};
pub use serve::serve;

#[cfg(test)]
mod tests;
