# sources of src/schema
