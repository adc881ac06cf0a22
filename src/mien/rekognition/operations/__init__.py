"""Every operation that is offered, by its name on the wire."""

from mien.rekognition.operations import collections, compare, faces, search, tags, users
from mien.rekognition.service import Operation

OPERATIONS: dict[str, Operation] = {
    "CreateCollection": collections.create_collection,
    "DeleteCollection": collections.delete_collection,
    "DescribeCollection": collections.describe_collection,
    "ListCollections": collections.list_collections,
    "IndexFaces": faces.index_faces,
    "ListFaces": faces.list_faces,
    "DeleteFaces": faces.delete_faces,
    "SearchFaces": search.search_faces,
    "SearchFacesByImage": search.search_faces_by_image,
    "SearchUsers": search.search_users,
    "SearchUsersByImage": search.search_users_by_image,
    "CompareFaces": compare.compare_faces,
    "DetectFaces": compare.detect_faces,
    "CreateUser": users.create_user,
    "DeleteUser": users.delete_user,
    "ListUsers": users.list_users,
    "AssociateFaces": users.associate_faces,
    "DisassociateFaces": users.disassociate_faces,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTagsForResource": tags.list_tags_for_resource,
}
