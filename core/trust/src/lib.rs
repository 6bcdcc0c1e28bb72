//! Trust: signs content with named keys, verifies S/MIME messages, and knows the index of certified-mail providers.
//!
//! *What it does*: makes detached CMS signatures over content of any size ([`SigningKey`]); finds what a
//! `multipart/signed` message proves ([`verify()`]), or a signed file ([`open_signed`]), against trusted roots and revocation lists ([`Anchors`]); reads
//! and writes the providers' index ([`Directory`]) and judges a new edition of it ([`Edition`]).
//! *And*: asks for timestamps, and finds what one proves ([`timestamp`]).
//! *What it never does*: fetch anything from a network, hold a whole message in memory, or hand out a private key.
//! *What it trusts*: the operator's key, root and index files, and OpenSSL's arithmetic and path validation. Every
//! byte of a message is hostile: sizes are bounded before they are parsed.
//! *Standards*: RFC 5652 (CMS), RFC 5754, RFC 8551 (S/MIME), RFC 1847, RFC 5280 (paths, revocation lists), RFC 6960 (OCSP), RFC 6211, RFC 2849 (LDIF),
//! RFC 3161 and RFC 5816 (timestamps),
//! X.690 (BER), PKCS #11 (keys in hardware modules), RFC 6109 (PEC) §2.1, §4.5, §5.5.
//! *When it fails*: a verification always ends in a [`Verification`], with the first thing found wrong and whether
//! it may pass by itself; files that cannot be used are errors that name the place.
#![forbid(unsafe_code)]

pub mod anchors;
mod ber;
pub mod changes;
pub mod directory;
pub mod edition;
mod known;
mod ldif;
pub mod problem;
pub mod revocation;
pub mod ring;
mod signature;
mod signed_data;
pub mod signing;
mod time;
pub mod timestamp;
pub mod token;
pub mod verification;

pub use anchors::{Anchors, AnchorsError, TrustedPath};
pub use changes::Changes;
pub use directory::{Directory, DirectoryError, Provider};
pub use edition::{Edition, IndexError, IndexSigner, Tolerance};
pub use ldif::write_record;
pub use problem::Problem;
pub use revocation::{Responders, Revocation};
pub use ring::{KeyRing, NoneValid, RingKey};
pub use signing::{KeyCertificate, KeyError, SignError, Signature, SigningKey, is_private};
pub use token::{ObjectName, TokenError, TokenName, TokenPlace};
pub use verification::{Verification, open_signed, recheck, verify};
