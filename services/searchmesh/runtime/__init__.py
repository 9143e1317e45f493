"""What any service process of the mesh is made of."""
