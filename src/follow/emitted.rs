//! From the bus into spaces: what back ends of other systems emit to sockets through Redis, in Node's form.
//!
//! Owns reading such messages and saying them in the office's spaces. What is not understood is counted and dropped.
//! Does not know sockets, nor who is in which room.

use bytes::Bytes;

use crate::bus::{Beginning, Begun, Consumer, Message, Pattern, Undelivered};
use crate::rooms::space::{Except, Room, Say, Space, SpaceError};
use crate::telemetry::Metrics;
use crate::wire::emitter::{Emitted, EmitterError, decode};

/// The root namespace, which is the one our dialects speak in: for everybody, and for one room.
const CHANNELS: &str = "socket.io#/#";

/// Whether a space has rooms of this name.
pub type HasRoom = fn(&str) -> bool;

/// Says in each of its spaces what is emitted for its rooms, or for everybody.
pub struct Emitters {
    spaces: Vec<(Space, HasRoom)>,
    metrics: Metrics,
}

impl Emitters {
    /// For these spaces.
    #[must_use]
    pub fn new(spaces: Vec<(Space, HasRoom)>, metrics: Metrics) -> Self {
        Self { spaces, metrics }
    }

    /// What to listen to.
    #[must_use]
    pub fn pattern() -> Pattern {
        Pattern::prefix(CHANNELS)
    }

    fn understood(&self, message: &Message) -> Result<Say, Undelivered> {
        let say = decode(&message.channel, &message.body).and_then(|emitted| say(&emitted));
        say.map_err(|error| {
            self.metrics.refuse(error.reason());
            Undelivered::Refused(format!("an emitted event is not understood: {error}"))
        })
    }
}

impl Consumer for Emitters {
    fn begin<'a>(&'a self, message: &'a Message, id: Option<&'a str>) -> Beginning<'a> {
        Box::pin(async move {
            let say = match self.understood(message) {
                Ok(say) => Say { id: id.map(str::to_owned), ..say },
                Err(why) => return Begun::done(Err(why)),
            };
            let mut begun = Vec::new();
            for (space, has_room) in &self.spaces {
                let to: Vec<Room> = say.to.iter().filter(|room| has_room(room.as_str())).cloned().collect();
                if !to.is_empty() || say.to.is_empty() {
                    begun.push(space.begin_to_say(Say { to, ..say.clone() }).await);
                }
            }
            Begun::until(async move {
                for begun in begun {
                    let said = begun.map_err(|error| unsaid(&error))?;
                    said.await.map_err(|error| unsaid(&error))?;
                }
                Ok(())
            })
        })
    }
}

fn unsaid(error: &SpaceError) -> Undelivered {
    let why = error.to_string();
    if error.is_final() { Undelivered::Refused(why) } else { Undelivered::Failed(why) }
}

fn say(emitted: &Emitted) -> Result<Say, EmitterError> {
    let room = |name: &String| Room::new(name).map_err(|_| EmitterError::TooLarge);
    Ok(Say {
        to: emitted.rooms.iter().map(room).collect::<Result<_, _>>()?,
        except: emitted.except.iter().map(|name| room(name).map(Except::Room)).collect::<Result<_, _>>()?,
        name: emitted.name.as_str().into(),
        body: Bytes::copy_from_slice(emitted.arguments.as_bytes()),
        attachments: emitted.attachments.clone(),
        keep: !emitted.volatile,
        id: None,
    })
}
