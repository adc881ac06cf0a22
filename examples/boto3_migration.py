"""A program for Amazon Rekognition that runs on Mien as it stands; it needs boto3 and a folder for each person.

    python examples/boto3_migration.py photos/people photos/new        # Amazon's Rekognition, with your account
    AWS_ENDPOINT_URL_REKOGNITION=http://127.0.0.1:8000 AWS_REGION=eu-west-1 \
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
        python examples/boto3_migration.py photos/people photos/new    # `mien serve` on this machine
"""

import re
import sys
from pathlib import Path

import boto3

COLLECTION = "example"


def main(people: Path, photos: Path) -> None:
    rekognition = boto3.client("rekognition")
    try:
        rekognition.create_collection(CollectionId=COLLECTION)
    except rekognition.exceptions.ResourceAlreadyExistsException:
        pass  # of an earlier run
    for photo in sorted(people.glob("*/*.jpg")):
        rekognition.index_faces(
            CollectionId=COLLECTION,
            Image={"Bytes": photo.read_bytes()},
            ExternalImageId=re.sub("[^a-zA-Z0-9_.:-]", "_", photo.parent.name),
            MaxFaces=1,
        )
    for photo in sorted(photos.glob("*.jpg")):
        try:
            found = rekognition.search_faces_by_image(CollectionId=COLLECTION, Image={"Bytes": photo.read_bytes()})
        except rekognition.exceptions.InvalidParameterException:
            print(f"{photo.name}: no face")
            continue
        best = [(match["Face"]["ExternalImageId"], match["Similarity"]) for match in found["FaceMatches"][:1]]
        print(f"{photo.name}: {best[0][0]} {best[0][1]:.1f}" if best else f"{photo.name}: unknown")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
