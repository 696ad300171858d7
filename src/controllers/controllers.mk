# sources of src/controllers
