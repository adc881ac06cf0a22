// Index one photo, find its person on another; the endpoint comes from AWS_ENDPOINT_URL_REKOGNITION alone.
import { readFileSync } from "node:fs";
import { Rekognition } from "@aws-sdk/client-rekognition";

const [one, two] = process.argv.slice(2).map((path) => ({ Bytes: readFileSync(path) }));
const client = new Rekognition({});
const CollectionId = "javascript";

await client.createCollection({ CollectionId });
try {
  const indexed = await client.indexFaces({ CollectionId, Image: one, ExternalImageId: "from-javascript" });
  const [match] = (await client.searchFacesByImage({ CollectionId, Image: two })).FaceMatches;
  const { CreationTimestamp } = await client.describeCollection({ CollectionId });
  const missing = await client.listFaces({ CollectionId: "none" }).catch((error) => error.name);
  console.log(JSON.stringify({
    indexed: indexed.FaceRecords.length,
    found: match.Face.ExternalImageId,
    similarity: match.Similarity,
    created: CreationTimestamp.toISOString(),
    missing,
  }));
} finally {
  await client.deleteCollection({ CollectionId });
}
