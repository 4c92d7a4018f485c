//! A schedule's file and its tables, as they lie on this machine and go to the API.

use super::failure::Failure;
use crate::{schedule::named::Named, words::say};
use reqwest::multipart::{Form, Part};
use std::path::{Path, PathBuf};

/// A schedule's file on this machine, with the names of the tables that it has beside it.
pub struct Files {
    path: PathBuf,
    tables: Vec<(String, PathBuf)>,
}

impl Files {
    /// Reads the file for the names of its tables. What is wrong with it is told by whoever plans it.
    pub fn find(path: &Path) -> Result<Self, Failure> {
        let unreadable = |e: std::io::Error| {
            Failure::Failed(say!("file_unreadable", path = path.to_string_lossy(), why = e.to_string()))
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let mut names = Named::of(&String::from_utf8_lossy(&bytes)).tables;
        let folder = path.parent().unwrap_or(Path::new(""));
        // What would end the name of a part in the middle is no file that can be sent.
        names.retain(|name| !name.contains(|c: char| c == '"' || c == '\\' || c.is_control()));
        let tables = names.into_iter().map(|name| (name.clone(), folder.join(name)));
        Ok(Self { path: path.to_owned(), tables: tables.filter(|(_, path)| path.is_file()).collect() })
    }

    /// The files that are read.
    pub fn read(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&*self.path).chain(self.tables.iter().map(|(_, path)| path.as_path()))
    }

    /// A table by the name that the file gives it.
    pub fn table(&self, name: &str) -> Option<&Path> {
        self.tables.iter().find(|(known, _)| known == name).map(|(_, path)| path.as_path())
    }

    /// The files as the parts of a request.
    pub async fn form(&self) -> Result<Form, Failure> {
        let unreadable = |path: &Path, e: std::io::Error| {
            Failure::Failed(say!("file_unreadable", path = path.to_string_lossy(), why = e.to_string()))
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().replace(['"', '\\'], "_");
        let schedule = Part::file(&self.path).await.map_err(|e| unreadable(&self.path, e))?.file_name(name);
        // As browsers write names: in UTF-8 as they are. The other way is one that servers do not read.
        let mut form = Form::new().percent_encode_noop().part("schedule", schedule);
        for (name, path) in &self.tables {
            let part = Part::file(path).await.map_err(|e| unreadable(path, e))?.file_name("table");
            form = form.part(name.clone(), part);
        }
        Ok(form)
    }

    /// Where the schedule's own file lies.
    pub fn absolute(&self) -> Option<String> {
        std::path::absolute(&self.path).ok().map(|path| path.to_string_lossy().into_owned())
    }
}
