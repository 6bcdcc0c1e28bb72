//! A message to walk with, and eyes to look at what becomes of it.

use pec::certification_data::CertificationData;
use pec::host::{Arrival, Message, Verdict};

use super::parse::Parsed;
use super::{Done, World, sign};

/// An original with 8-bit text, trailing blanks, an attachment and recipients of each kind.
pub const ORIGINAL: &[u8] = b"Received: from client by mail.alfa.example; Tue, 14 Dec 2021 14:54:30 +0100\r\n\
From: Ada <ada@alfa.example>\r\n\
To: Bruno <bruno@beta.example>\r\n\
Cc: dora@beta.example, esterno@posta.example\r\n\
Subject: =?utf-8?Q?Perch=C3=A9_no=3F_10_=E2=82=AC?=\r\n\
Date: Tue, 14 Dec 2021 14:54:29 +0100\r\n\
Message-ID: <client-1@alfa.example>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b1\r\n\
\r\n\
--b1\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: 8bit\r\n\
\r\n\
caff\xc3\xa8 \r\n\
--b1\r\n\
Content-Type: application/pdf; name=\"a.pdf\"\r\n\
Content-Transfer-Encoding: base64\r\n\
Content-ID: <x@y>\r\n\
\r\n\
AAECAwQF\r\n\
BgcICQ==\r\n\
--b1--\r\n";

/// Its recipients.
pub const TO: [&str; 3] = ["bruno@beta.example", "dora@beta.example", "esterno@posta.example"];

pub fn data_of(message: &[u8]) -> CertificationData {
    let parsed = Parsed::new(message);
    let index = parsed.parts().unwrap().iter().position(|part| part.is_named("daticert.xml")).unwrap();
    let reading = CertificationData::read(&parsed.read_decoded(index as u32).unwrap()).unwrap();
    assert!(reading.in_order);
    reading.data
}

pub fn text_of(message: &[u8]) -> String {
    let parsed = mail_parser::MessageParser::default().parse(message).unwrap();
    parsed.body_text(0).unwrap().replace("\r\n", "\n")
}

pub fn original_in(message: &[u8]) -> Option<Vec<u8>> {
    let parsed = Parsed::new(message);
    let parts = parsed.parts().unwrap();
    let part = parts.iter().find(|part| part.is_named("postacert.eml"))?;
    Some(message[part.body_offset as usize..part.end() as usize].to_vec())
}

pub fn header(message: &[u8], name: &str) -> String {
    let parsed = Parsed::new(message);
    assert!(parsed.header_count(name) <= 1, "{name} repeated");
    parsed.header_text(name, 0).unwrap_or_default()
}

/// Acceptance at Alfa.
pub fn accepted(world: &World) -> Done {
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL);
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    done
}

/// Reception at Beta of Alfa's envelope.
pub fn taken(world: &World, envelope: &[u8]) -> Done {
    let to = ["bruno@beta.example", "dora@beta.example"];
    let done = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, envelope);
    assert_eq!(done.verdict, Ok(Verdict::Continue), "{:?}", done.logged);
    done
}

/// The same message with one text for another, signed again by `key`: what a dishonest provider could send.
pub fn altered_and_signed(message: &[u8], from: &str, to: &str, key: &str) -> Vec<u8> {
    let parts = Parsed::new(message).parts().unwrap();
    let (signed, signature) = (&parts[1], parts.iter().rfind(|part| part.parent == Some(0)).unwrap());
    let entity = replaced(&message[signed.header_offset as usize..signed.end() as usize], from, to);
    let head = replaced(&message[..signed.header_offset as usize], from, to);
    let between = &message[signed.end() as usize..signature.body_offset as usize];
    let after = &message[signature.end() as usize..];
    [&head, &entity, between, &pec::mime::base64_lines(&sign(key, &entity)), after].concat()
}

/// Replaces in the bytes and in the certification data, whatever their transfer encoding.
pub fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    if let Some(start) = text.find("PD94bWwg") {
        let end = start + text[start..].find("\r\n\r\n--").unwrap();
        let xml = engine.decode(text[start..end].replace("\r\n", "")).unwrap();
        let xml = String::from_utf8(xml).unwrap().replace(from, to);
        let again = String::from_utf8(pec::mime::base64_lines(xml.as_bytes())).unwrap();
        text.replace_range(start..end, again.trim_end());
    }
    text.replace(from, to).into_bytes()
}

/// The same message with its signed entity changed and signed again by `key`.
pub fn resigned(message: &[u8], key: &str, change: impl Fn(&str) -> String) -> Vec<u8> {
    let parts = Parsed::new(message).parts().unwrap();
    let (signed, signature) = (&parts[1], parts.iter().rfind(|part| part.parent == Some(0)).unwrap());
    let entity = change(std::str::from_utf8(&message[signed.header_offset as usize..signed.end() as usize]).unwrap());
    let between = &message[signed.end() as usize..signature.body_offset as usize];
    let value = pec::mime::base64_lines(&sign(key, entity.as_bytes()));
    [
        &message[..signed.header_offset as usize],
        entity.as_bytes(),
        between,
        &value,
        &message[signature.end() as usize..],
    ]
    .concat()
}
