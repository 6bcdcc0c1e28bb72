//! The closed vocabularies of the certification data.

use crate::wire;

/// Makes an enumeration whose cases are words of the wire, written and read by the same table.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $word:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$case_doc])* $case),+ }

        impl $name {
            /// Every case.
            pub const ALL: &[$name] = &[$($name::$case),+];

            /// The word on the wire.
            pub fn word(self) -> &'static str {
                match self { $($name::$case => $word),+ }
            }

            /// Reads a word; providers vary the case.
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|case| case.word().eq_ignore_ascii_case(word.trim()))
            }
        }
    };
}

words! {
    /// What a certified message is: `tipo` of the root ([PEC §4.4]).
    CertificationKind {
        /// Acceptance receipt.
        Acceptance = wire::ACCETTAZIONE,
        /// Non-acceptance notice.
        NonAcceptance = wire::NON_ACCETTAZIONE,
        /// Take-charge receipt.
        TakeCharge = wire::PRESA_IN_CARICO,
        /// Delivery receipt.
        Delivery = wire::AVVENUTA_CONSEGNA,
        /// Transport envelope.
        TransportEnvelope = wire::POSTA_CERTIFICATA,
        /// Non-delivery notice.
        NonDelivery = wire::ERRORE_CONSEGNA,
        /// Notice that a time limit passed.
        Timeout = wire::PREAVVISO_ERRORE_CONSEGNA,
        /// Virus detection notice.
        VirusDetection = wire::RILEVAZIONE_VIRUS,
    }
}

words! {
    /// `errore` of the root ([PEC §4.4]).
    ErrorKind {
        /// No error.
        None = wire::NESSUNO,
        /// Wrong recipient.
        WrongRecipient = wire::NO_DEST,
        /// Wrong domain.
        WrongDomain = wire::NO_DOMINIO,
        /// Virus.
        Virus = wire::VIRUS,
        /// Any other.
        Other = wire::ALTRO,
    }
}

words! {
    /// `tipo` of a recipient ([PEC §4.4]).
    RecipientKind {
        /// Its domain is in the index of providers.
        Certified = wire::CERTIFICATO,
        /// Any other.
        External = wire::ESTERNO,
    }
}

words! {
    /// Form of delivery receipt ([PEC §3.3.2]).
    DeliveryReceiptKind {
        /// With the whole original.
        Complete = wire::COMPLETA,
        /// With the original, its attachments replaced by their digests.
        Brief = wire::BREVE,
        /// Without the original.
        Concise = wire::SINTETICA,
    }
}
