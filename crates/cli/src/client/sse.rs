//! Server-sent events, from whatever pieces they arrive in.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

/// The longest message that is kept, in bytes: larger than the largest event.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its kind; `message` unless it says.
    pub(crate) event: String,
    /// Its id, or that of the last one that had one.
    pub(crate) id: Option<String>,
    /// What it says.
    pub(crate) data: String,
}

/// A message is longer than the longest that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Reads a stream piece by piece.
#[derive(Default)]
pub(super) struct Reader {
    /// The line that is not complete.
    line: Vec<u8>,
    /// A carriage return ended the last line: a line feed that follows belongs to it.
    after_return: bool,
    event: String,
    data: Option<String>,
    id: Option<String>,
}

impl Reader {
    /// Take a piece: the messages that it completes.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = vec![];
        for &byte in piece {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    messages.extend(self.end_line());
                }
                byte => self.line.push(byte),
            }
        }
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held > MESSAGE_BYTES_MAX {
            return Err(TooLong);
        }
        Ok(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = self.data.take()?;
            return Some(Message {
                event: if event.is_empty() {
                    "message".to_owned()
                } else {
                    event
                },
                id: self.id.clone(),
                data,
            });
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment has no name before its colon.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_from_pieces_of_any_size() {
        let stream = ": hello\r\n\r\nevent: ready\ndata: {}\n\nid: evt_1\nevent:event\r\ndata: {\"a\":\ndata:  \"é\"}\n\n: still here\n\rdata\r\revent: lost\n\nid\ndata: x\n\ndata: unfinished";
        let message = |event: &str, id: Option<&str>, data: &str| Message {
            event: event.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let expected = [
            message("ready", None, "{}"),
            message("event", Some("evt_1"), "{\"a\":\n \"é\"}"),
            message("message", Some("evt_1"), ""),
            message("message", Some(""), "x"),
        ];
        for size in [1, 2, 3, 7, stream.len()] {
            let mut reader = Reader::default();
            let read: Vec<_> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| reader.push(piece).expect("short"))
                .collect();
            assert_eq!(read, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_without_an_end_is_refused() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; MESSAGE_BYTES_MAX + 1];
        assert_eq!(reader.push(&piece), Err(TooLong));
    }
}
