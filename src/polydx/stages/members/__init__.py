"""How stage 5 fits each kind of member: from its settings to plain values, a trained model, and predictions."""
