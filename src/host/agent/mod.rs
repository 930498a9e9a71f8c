//! The far end of a connection: the same binary, which answers probes and performs effects for a client elsewhere.
//!
//! ```text
//! client                                    agent, on its standard input and output
//!                                  <──      MAGIC, Hello { protocol, version, process }
//! Request::Capabilities            ──>
//!                                  <──      Reply::Working     every so often while there is no answer yet
//!                                  <──      Reply::Capabilities
//! Request::Alive                   ──>      every so often while nothing is asked
//! Request::End { requests }        ──>
//!                                  <──      Reply::Ended { requests }
//! ```
//!
//! A frame is a length in four bytes, big-endian, and as much JSON ([`frame`]). Whatever comes before the magic, such as what
//! a shell prints at login, is an error: a client that skipped it could be led to skip more. What was performed counts as done
//! only once its reply has arrived; a connection that ends without `Reply::Ended` has been cut. Neither end waits for good:
//! the client gives up an agent that it does not hear, and an agent ends, and lets go of the host's lock, when its input
//! ends or it has not heard its client for [`Rhythm::lost`].
//!
//! No text of a topology is part of a command line: programs and files get it as data, from the agent. What starts
//! the agent is made of constants and a digest:
//!
//! ```text
//! bootstrap.rs  from a login to an agent          script.rs     the commands that do it
//! binary.rs     the program that is sent          opening.rs    who speaks first on the other side
//! password.rs   what sudo asks for
//! remote.rs     the client's end, a Host          serve.rs      the agent's end
//! message.rs    what they say                     frame.rs, transport.rs   how it travels; ear.rs  what is a sign of life
//! ```
//!
//! To add a request: a variant of `Request` and one of `Reply`, an arm in `serve::reply`, a method in `remote`.

mod binary;
mod bootstrap;
mod ear;
mod frame;
mod message;
mod opening;
mod password;
mod remote;
mod script;
mod serve;
mod transport;

pub use binary::Binary;
pub use bootstrap::{Session, Started, start, start_with};
pub use frame::{FrameError, LIMIT, MAGIC};
pub use message::{Hello, PROTOCOL};
pub use password::Password;
pub use remote::RemoteHost;
pub use script::Root;
pub use serve::{Rhythm, serve};
pub use transport::Transport;

#[cfg(test)]
mod tests;
