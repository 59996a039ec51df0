//! What comes from the broker: ours, but from releases that we do not know, and from whoever else may publish there.

use plumbline_broker::wire::{EventMessage, RetryMessage};

/// Messages of both kinds: what can be read is the same after it was written again, and a reason never quotes.
pub fn message(data: &[u8]) {
    match EventMessage::decode_all(data) {
        Ok(messages) => {
            assert!(
                !messages.is_empty(),
                "a message that settles nothing would never be settled"
            );
            for message in messages {
                let again = EventMessage::decode(&message.encode()).expect("what we write we read");
                assert_eq!(again, message);
            }
        }
        Err(error) => assert!(error.reason().len() < 200, "{}", error.reason()),
    }
    match RetryMessage::decode(data) {
        Ok(message) => {
            let again = RetryMessage::decode(&message.encode()).expect("what we write we read");
            assert_eq!(again, message);
        }
        Err(error) => assert!(error.reason().len() < 200, "{}", error.reason()),
    }
}
