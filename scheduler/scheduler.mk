# sources of scheduler
