//! Reads the Hub's answers: listings, and the headers that name a file's content.
//!
//! All data may come from a hostile mirror. Values that become part of a path in the cache have
//! their own types ([`ContentId`], [`Commit`]), which only hold hexadecimal digits.

use std::fmt;

use serde::Deserialize;

use super::address::Address;

/// Maximum number of files of a repository.
pub(super) const MAX_FILES: usize = 100_000;

/// Maximum number of pages of a listing; the Hub puts 1,000 files on a page.
pub(super) const MAX_PAGES: usize = 200;

/// Maximum length of a page of a listing, in bytes.
pub(super) const MAX_PAGE_BYTES: u64 = 16 << 20;

/// The start of every Git LFS pointer, see <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
pub(super) const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The identity of a file's content: 40 hexadecimal digits (git) or 64 (SHA-256), in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentId(String);

impl ContentId {
    /// Parses an id; `None` if the text is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        hex(text, &[40, 64]).map(Self)
    }

    /// Reads the id in an `ETag` header, which may be quoted and weak.
    pub(super) fn from_etag(header: &str) -> Option<Self> {
        let header = header.trim();
        let header = header.strip_prefix("W/").unwrap_or(header);
        Self::parse(header.trim_matches('"'))
    }

    /// The id of content with this SHA-256.
    pub(super) fn of_sha256(digest: [u8; 32]) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        let digits = digest
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        Self(digits.collect())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a SHA-256, which the content can be checked against.
    pub(super) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit of a repository: 40 hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit(String);

impl Commit {
    /// Parses a commit; `None` if the text is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        hex(text.trim(), &[40]).map(Self)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn hex(text: &str, lengths: &[usize]) -> Option<String> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| text.to_ascii_lowercase())
}

/// A file of a repository as the Hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// Its path in the repository; safe to join to a folder.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The SHA-256 of its content, if the Hub stores it outside of git.
    pub(super) sha256: Option<ContentId>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
}

/// Reads one page of a listing. Folders and files whose names could lead out of the cache are left out.
///
/// # Errors
/// A description of the error in the page.
pub(super) fn page(bytes: &[u8]) -> Result<Vec<RemoteFile>, String> {
    let entries: Vec<Entry> = serde_json::from_slice(bytes)
        .map_err(|error| format!("its listing is malformed: {error}"))?;
    let mut files = Vec::new();
    for entry in entries {
        if entry.kind != "file" || !crate::is_file_in_repo(&entry.path) {
            continue;
        }
        let path = entry.path;
        let Some(size) = entry.size else {
            return Err(format!("its listing gives no size of {path}"));
        };
        let sha256 = match entry.lfs {
            None => None,
            Some(lfs) => {
                let id = ContentId::parse(&lfs.oid).filter(ContentId::is_sha256);
                Some(id.ok_or_else(|| format!("its listing gives no valid SHA-256 of {path}"))?)
            }
        };
        files.push(RemoteFile { path, size, sha256 });
    }
    Ok(files)
}

/// Returns the address of the next page that a `Link` header gives, as RFC 8288 writes it.
pub(super) fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        });
        is_next.then_some(target)
    })
}

/// The start of a partial answer, from its `Content-Range` header: `bytes FIRST-LAST/TOTAL`.
pub(super) fn range_start(header: &str) -> Option<u64> {
    let range = header.trim().strip_prefix("bytes")?.trim_start();
    range.split_once('-')?.0.parse().ok()
}

/// Reads bytes as every kind of answer.
pub(super) fn read_answers(bytes: &[u8]) {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (etag, commit, link, range) = (line(), line(), line(), line());
    let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(id) = ContentId::from_etag(&etag) {
        assert!(is_plain(id.as_str()) && matches!(id.as_str().len(), 40 | 64));
    }
    if let Some(commit) = Commit::parse(&commit) {
        assert!(is_plain(commit.as_str()) && commit.as_str().len() == 40);
    }
    if let (Some(next), Some(hub)) = (next_page(&link), Address::parse("https://hub/prefix"))
        && let Ok(next) = hub.follow(next)
    {
        assert!(next.is_https());
    }
    let _ = range_start(&range);
    for file in page(parts.next().unwrap_or_default()).unwrap_or_default() {
        let joined = std::path::Path::new("/cache").join(&file.path);
        let mut below = joined.components().skip(2);
        let inside = below.all(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(
            joined.starts_with("/cache") && inside,
            "{}",
            joined.display()
        );
        assert!(file.sha256.is_none_or(|id| id.is_sha256()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIT: &str = "0123456789abcdef0123456789abcdef01234567";
    const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn only_digits_name_content_and_commits() {
        for good in [GIT, SHA] {
            for etag in [
                good.to_owned(),
                format!("\"{good}\""),
                format!("W/\"{good}\""),
            ] {
                assert_eq!(ContentId::from_etag(&etag).unwrap().as_str(), good);
            }
            let upper = good.to_ascii_uppercase();
            assert_eq!(ContentId::parse(&upper).unwrap().as_str(), good);
        }
        let outside = format!("../{}", &GIT[3..]);
        for bad in [
            "",
            "\"\"",
            "..",
            "/etc/passwd",
            "of-the-redirect",
            &outside,
            &GIT[1..],
            &SHA[1..],
            &format!("{GIT}-5"),
            &format!("{}\0", &GIT[1..]),
            &format!("{}é", &GIT[2..]),
        ] {
            assert_eq!(ContentId::from_etag(bad), None, "{bad:?}");
            assert_eq!(Commit::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Commit::parse(SHA), None);
        assert_eq!(Commit::parse(&format!("{GIT}\n")).unwrap().as_str(), GIT);
    }

    #[test]
    fn a_listing_gives_files_that_stay_in_the_cache() {
        let text = format!(
            r#"[{{"type":"directory","path":"q","size":0}},
                {{"type":"file","path":"q/a.gguf","size":7,"oid":"{GIT}","lfs":{{"oid":"{SHA}","size":7}}}},
                {{"type":"file","path":"b.json","size":0}},
                {{"type":"file","path":"../x","size":1}},
                {{"type":"file","path":"/etc/x","size":1}},
                {{"type":"file","path":"a\\b","size":1}},
                {{"type":"file","path":"a\u0000b","size":1}},
                {{"type":"file","path":"a\u001b[2Jb","size":1}},
                {{"type":"file","path":"a\u202eb","size":1}},
                {{"type":"file","path":"a//b","size":1}},
                {{"type":"file","path":"a/./b","size":1}}]"#
        );
        let files = page(text.as_bytes()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["q/a.gguf", "b.json"]);
        assert_eq!(files[0].sha256.as_ref().unwrap().as_str(), SHA);
        assert_eq!((files[1].size, &files[1].sha256), (0, &None));
    }

    #[test]
    fn a_listing_that_is_none_is_refused() {
        for bad in [
            "",
            "<html>",
            "{}",
            r#"[{"type":"file","path":"a"}]"#,
            r#"[{"type":"file","path":"a","size":-1}]"#,
            r#"[{"type":"file","path":"a","size":1,"lfs":{"oid":"../../x"}}]"#,
            r#"[{"type":"file","path":"a","size":1,"lfs":{}}]"#,
            &format!(r#"[{{"type":"file","path":"a","size":1,"lfs":{{"oid":"{GIT}"}}}}]"#),
        ] {
            assert!(page(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_and_ranges_are_read() {
        let next = "<https://h/a?cursor=b>; rel=\"next\"";
        assert_eq!(next_page(next), Some("https://h/a?cursor=b"));
        assert_eq!(
            next_page(&format!("<x>; rel=prev, {next}")),
            Some("https://h/a?cursor=b")
        );
        for none in [
            "",
            "<a>",
            "<a>; rel=\"prev\"",
            "a; rel=next",
            "<a; rel=next",
        ] {
            assert_eq!(next_page(none), None, "{none}");
        }
        assert_eq!(range_start("bytes 70-99/100"), Some(70));
        for none in ["", "70-99", "bytes */100", "bytes -5/7", "bytes x-1/2"] {
            assert_eq!(range_start(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_name_of_a_listing_leaves_a_folder(path in "\\PC{0,12}|[./\\\\a:]{0,12}") {
            let entry = serde_json::json!([{"type": "file", "path": path, "size": 1}]);
            for file in page(entry.to_string().as_bytes()).unwrap() {
                let joined = std::path::Path::new("/cache").join(&file.path);
                let inside = joined.components().skip(2).all(|part| {
                    matches!(part, std::path::Component::Normal(_))
                });
                prop_assert!(joined.starts_with("/cache") && inside, "{joined:?}");
            }
        }
    }
}
