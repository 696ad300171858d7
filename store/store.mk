# sources of store
