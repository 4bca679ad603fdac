//! Addresses of stores: a directory, a bucket of an S3 service, a web server.

use crate::StoreError;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A local directory.
    Dir(PathBuf),
    /// `s3://BUCKET/PREFIX`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of its objects begin with, without slashes around it; may be empty.
        prefix: String,
    },
    /// `http://…` or `https://…`, which can be read only.
    Http(String),
}

impl FromStr for StoreAddress {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = |reason| StoreError::BadAddress { address: text.to_owned(), reason };
        match text.split_once("://") {
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if bucket.is_empty() || !bucket.chars().all(good) {
                    return Err(bad("a bucket's name has letters, digits, '.', '-' and '_'"));
                }
                let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
                Ok(Self::S3 { bucket, prefix })
            }
            Some(("http" | "https", rest)) if !rest.is_empty() => {
                Ok(Self::Http(text.trim_end_matches('/').to_owned()))
            }
            Some(_) => Err(bad("a store is a directory, s3://BUCKET/PREFIX, http:// or https://")),
            None if text.is_empty() => Err(bad("it is empty")),
            None => Ok(Self::Dir(text.into())),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Http(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let s3 = |bucket: &str, prefix: &str| StoreAddress::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        let table = [
            ("/srv/images", StoreAddress::Dir("/srv/images".into()), "/srv/images"),
            ("images", StoreAddress::Dir("images".into()), "images"),
            ("s3://fleet", s3("fleet", ""), "s3://fleet"),
            ("s3://fleet/", s3("fleet", ""), "s3://fleet"),
            ("s3://fleet/a/b/", s3("fleet", "a/b"), "s3://fleet/a/b"),
            (
                "https://cdn.example.org/store/",
                StoreAddress::Http("https://cdn.example.org/store".to_owned()),
                "https://cdn.example.org/store",
            ),
        ];
        for (text, address, shown) in table {
            let read: StoreAddress = text.parse().expect(text);
            assert_eq!((read.clone(), read.to_string().as_str()), (address, shown), "{text}");
        }
        for bad in ["", "s3://", "s3:///x", "s3://a b/x", "ftp://x/y", "http://"] {
            assert!(bad.parse::<StoreAddress>().is_err(), "{bad}");
        }
    }
}
