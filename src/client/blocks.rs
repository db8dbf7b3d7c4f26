//! Blocks: those of the first generation, the documents of later ones, and the default storage.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Error, Result};
use crate::http::percent_encoded;

/// A block: one of the first generation has a spec, a block document of later ones a type.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let block: prefect_rs::client::Block = client.read_block_document(id).await?.into_view();
/// println!("{:?}", block.block_type.map(|of| of.slug));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Block {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// What kind of block it is, in the first generation.
    pub block_spec: Option<BlockSpec>,
    /// What kind of block it is, in later ones.
    pub block_type: Option<BlockType>,
}

/// A kind of block of the later generations.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let types: Vec<prefect_rs::client::Document<prefect_rs::client::BlockType>> = client.read_block_types().await?;
/// println!("{}", types.len());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct BlockType {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its name in addresses and commands.
    pub slug: String,
    /// What it is for.
    pub description: Option<String>,
}

/// A kind of block of the first generation.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let specs: Vec<prefect_rs::client::Document<prefect_rs::client::BlockSpec>> = client.read_block_specs(None).await?;
/// println!("{:?}", specs.first().map(|spec| &spec.version));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct BlockSpec {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its blocks are for, such as `STORAGE`.
    pub r#type: Option<String>,
    /// The JSON schema of its data.
    #[serde(default)]
    pub fields: Value,
}

impl Client {
    /// Returns blocks, of one type if asked.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let storages = client.read_blocks(Some("STORAGE")).await?;
    /// # drop(storages);
    /// # Ok(()) }
    /// ```
    pub async fn read_blocks(&self, spec_type: Option<&str>) -> Result<Vec<Document<Block>>> {
        let body = json!({"block_spec_type": spec_type});
        self.pages("/blocks/filter", body, 0, None).await
    }

    /// Returns a block.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.read_block(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_block(&self, id: Uuid) -> Result<Document<Block>> {
        self.get(&format!("/blocks/{id}")).await
    }

    /// Creates a block.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let block = client.create_block("files", id, &serde_json::json!({"path": "/srv"})).await?;
    /// println!("{}", block.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_block(
        &self,
        name: &str,
        spec_id: Uuid,
        data: &Value,
    ) -> Result<Document<Block>> {
        let body = json!({"name": name, "block_spec_id": spec_id, "data": data});
        self.post("/blocks/", &body).await
    }

    /// Deletes a block.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_block(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_block(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/blocks/{id}")).await
    }

    /// Returns the block documents that are not of some client's own.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for block in client.read_block_documents().await? {
    ///     println!("{:?}", block.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_block_documents(&self) -> Result<Vec<Document<Block>>> {
        self.pages("/block_documents/filter", json!({}), 0, None)
            .await
    }

    /// Returns a block document.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.read_block_document(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_block_document(&self, id: Uuid) -> Result<Document<Block>> {
        self.get(&format!("/block_documents/{id}")).await
    }

    /// Returns a block document by its type and name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let block = client.read_block_document_by_name("secret", "api-key").await?;
    /// println!("{}", block.id);
    /// # Ok(()) }
    /// ```
    pub async fn read_block_document_by_name(
        &self,
        slug: &str,
        name: &str,
    ) -> Result<Document<Block>> {
        let (slug, name) = (percent_encoded(slug), percent_encoded(name));
        let path = format!("/block_types/slug/{slug}/block_documents/name/{name}");
        self.get(&path).await
    }

    /// Deletes a block document.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_block_document(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_block_document(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/block_documents/{id}")).await
    }

    /// Returns the types of block documents.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for block_type in client.read_block_types().await? {
    ///     println!("{}", block_type.slug);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_block_types(&self) -> Result<Vec<Document<BlockType>>> {
        self.pages("/block_types/filter", json!({}), 0, None).await
    }

    /// Deletes a type of block documents with its documents.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_block_type(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_block_type(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/block_types/{id}")).await
    }

    /// Returns kinds of blocks of the first generation, of one type if asked.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let specs = client.read_block_specs(Some("STORAGE")).await?;
    /// # drop(specs);
    /// # Ok(()) }
    /// ```
    pub async fn read_block_specs(
        &self,
        spec_type: Option<&str>,
    ) -> Result<Vec<Document<BlockSpec>>> {
        let body = json!({"block_spec_type": spec_type});
        self.post("/block_specs/filter", &body).await
    }

    /// Returns the default storage, if one is set.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// if let Some(storage) = client.read_default_storage().await? {
    ///     println!("{:?}", storage.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_default_storage(&self) -> Result<Option<Document<Block>>> {
        // No default is an answer without a body, which reads as the end of the input.
        match self
            .post("/blocks/get_default_storage_block", &json!({}))
            .await
        {
            Ok(block) => Ok(block),
            Err(Error::Unreadable { source, .. }) if source.is_eof() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a block the default storage.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.set_default_storage(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_default_storage(&self, id: Uuid) -> Result<()> {
        let path = format!("/blocks/{id}/set_default_storage_block");
        self.post_only(&path, &json!({})).await
    }

    /// Leaves no default storage.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.clear_default_storage().await?;
    /// # Ok(()) }
    /// ```
    pub async fn clear_default_storage(&self) -> Result<()> {
        self.post_only("/blocks/clear_default_storage_block", &json!({}))
            .await
    }
}
