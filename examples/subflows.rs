//! Subflows: a flow that is called in a flow is a run of its own, with parameters, retries and a page.
//!
//! `cargo run --example subflows`

use prefect_rs::prelude::*;

#[task]
async fn parts() -> Result<Vec<String>> {
    Ok(vec!["engine".to_owned(), "wheels".to_owned()])
}

#[flow(name = "Assemble", flow_run_name = "assemble {part}", retries = 1)]
async fn assemble(part: String) -> Result<String> {
    Ok(format!("{part}, assembled"))
}

/// A function may also return the state that its run ends in.
#[flow(name = "Paint")]
async fn paint(part: String, colour: Option<String>) -> State<String> {
    match colour {
        Some(colour) => Completed(format!("{part} in {colour}")).with_message("it is still wet"),
        None => Completed(part).with_name("Skipped"),
    }
}

#[flow(name = "Build a car")]
async fn build() -> Result<()> {
    for part in parts().await? {
        let assembled = assemble(part).await?;
        let painted = paint(assembled, Some("red".to_owned())).await?;
        println!("{painted}");
    }
    Ok(())
}

// A program may have several flows; this one runs the first when it is started by hand, and all can be deployed.
prefect_rs::main!(build(), assemble, paint);
