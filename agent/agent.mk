# sources of agent
