"""The gateway: users submit and read their tasks here, and the traces begin here."""
