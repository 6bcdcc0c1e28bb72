//! New content as a rope: bytes of our own and ranges of the message in hand, which is never copied.

/// A stretch of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Our own bytes.
    Bytes(Vec<u8>),
    /// Octets of the message in hand, by reference.
    Range {
        /// First octet.
        offset: u64,
        /// How many.
        length: u64,
    },
}

/// Content made of pieces, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pieces: Vec<Piece>,
}

impl Content {
    /// Nothing yet.
    pub fn new() -> Content {
        Content::default()
    }

    /// Content that is a range of the message in hand.
    pub fn of_range(offset: u64, length: u64) -> Content {
        let mut content = Content::new();
        content.range(offset, length);
        content
    }

    /// Adds bytes; those that follow bytes join them.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Content {
        let bytes = bytes.as_ref();
        match self.pieces.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
        self
    }

    /// Adds a range of the message in hand.
    pub fn range(&mut self, offset: u64, length: u64) -> &mut Content {
        if length > 0 {
            self.pieces.push(Piece::Range { offset, length });
        }
        self
    }

    /// Adds other content.
    pub fn content(&mut self, other: &Content) -> &mut Content {
        for piece in &other.pieces {
            match piece {
                Piece::Bytes(bytes) => self.bytes(bytes),
                Piece::Range { offset, length } => self.range(*offset, *length),
            };
        }
        self
    }

    /// How many octets are our own.
    pub fn own_octets(&self) -> usize {
        let own = |piece: &Piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 };
        self.pieces.iter().map(own).sum()
    }

    /// The pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}
